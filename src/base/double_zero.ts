/**
 * Zero, for a field that will hold fractions. V8 notes for each field whether it holds small integers
 * or doubles, and 0 is a small integer: the first fraction would give the object another shape, and
 * code compiled for the one would be discarded when it comes to the other. -0 is a double at once.
 */
export const DOUBLE_ZERO = -0;
