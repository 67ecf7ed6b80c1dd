/**
 * What the program says of itself while it runs, by level. The daemon sends it through LogTape; the
 * protocol cores never log, they return events.
 */
export interface Log {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}
