package main

// The package syscall knows no sendmmsg on this machine.
const syscallSendmmsg = 307
