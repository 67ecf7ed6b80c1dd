/** A set-up that could not be done, told to the user without a stack. */
export class SetupError extends Error {
  override name = "SetupError";
}
