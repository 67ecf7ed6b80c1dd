/**
 * What a node needed for a while and needs no more. V8's compilers take tens of megabytes from the C
 * library, at the start and when traffic comes, and the library keeps them for the next time. A node
 * that moves nothing gives them back.
 */

/** Looks with each beat whether it is time. */
export class IdleMemory {
  readonly #giveBack: () => void;
  #bytes: number | null = null;
  #isOwed = true;

  /** `giveBack` takes a few milliseconds. */
  constructor(giveBack: () => void) {
    this.#giveBack = giveBack;
  }

  /** `bytes` is what the node has moved so far: once it stands still, memory goes back, once. */
  look(bytes: number): void {
    const isIdle = bytes === this.#bytes;
    this.#bytes = bytes;
    if (isIdle && this.#isOwed) this.#giveBack();
    this.#isOwed = !isIdle;
  }
}
