/** What the completions of all shells have in common. */

/** Flags that stand without a command. */
export const COMMON_FLAG_WORDS = ["--help", "--version", "--foreground"] as const;

/** Where control sockets and configs are; a variable stands at the beginning only. */
export const SOCKET_GLOBS = [
  "/run/wireguard/*.sock",
  "$XDG_RUNTIME_DIR/longhaul/*.sock",
  "$HOME/.local/state/longhaul/run/*.sock",
] as const;
export const CONFIG_GLOBS = [
  "/etc/wireguard/*.conf",
  "/etc/longhaul/*.conf",
  "$HOME/.local/state/longhaul/*.conf",
] as const;
