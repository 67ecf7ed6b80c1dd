/** What an MTU can be. */

/** Every IPv4 host takes 68 bytes (RFC 791, section 3.2). */
export const MTU_MIN = 68;
/** Smallest MTU that IPv6 runs over (RFC 8200, section 5). */
export const MTU_MIN_V6 = 1280;
/** Largest MTU whose packets fit a UDP datagram over IPv6: 65,535 - 40 - 8 - 32, a multiple of 16. */
export const MTU_MAX = 65_440;
/** What fits every path of 1,500 bytes, IPv6 outside included: 1,500 - 40 - 8 - 32. */
export const MTU_DEFAULT = 1420;
