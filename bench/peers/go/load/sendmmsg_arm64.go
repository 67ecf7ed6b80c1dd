package main

import "syscall"

const syscallSendmmsg = syscall.SYS_SENDMMSG
