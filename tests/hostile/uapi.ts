/** A client of the control socket that writes what it is told. */

/** One connection to the control socket of interface `name`. */
export class UapiClient implements Disposable {
  #text = "";

  private constructor(readonly connection: Deno.UnixConn) {}

  static async open(name: string): Promise<UapiClient> {
    const path = `/var/run/wireguard/${name}.sock`;
    return new UapiClient(await Deno.connect({ transport: "unix", path }));
  }

  async write(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await this.connection.write(bytes.subarray(at));
  }

  /** The next answer, without its blank line. */
  async answer(): Promise<string> {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const answer = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        return answer;
      }
      const bytes = await this.connection.read(buffer);
      if (bytes === null) throw new Error(`the connection has ended after ${this.#text}`);
      this.#text += new TextDecoder().decode(buffer.subarray(0, bytes));
    }
  }

  /** One operation and its answer. */
  async ask(text: string): Promise<string> {
    await this.write(text);
    return await this.answer();
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }
}

/** A key in base64 as the protocol wants it. */
export function hexKey(base64: string): string {
  return [...atob(base64)].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}
