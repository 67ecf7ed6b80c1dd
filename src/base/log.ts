/**
 * What the program says of itself while it runs, by level. The daemon sends it through LogTape; the
 * protocol cores never log, they return events.
 */

/** What a line is about, for programs that read logs: `{ peer: "phone", event: "gave-up" }`. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** One interface's log. A message is plain text for people; fields repeat what it says. */
export interface Log {
  /** Whether anybody reads debug lines; where they are frequent, texts for nobody are not made. */
  readonly wantsDebug: boolean;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}
