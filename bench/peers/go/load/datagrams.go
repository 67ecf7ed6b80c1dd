package main

import (
	"fmt"
	"log"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

const (
	// Datagrams in one call.
	batch = 64
	// How long the sender rests when nothing is due.
	tick = 50 * time.Microsecond
	// Of what is overdue, no more than was due in so long is caught up with.
	overdueMax = 5 * time.Millisecond
	// After so long without a datagram the receiver has seen the last one.
	silence = 300 * time.Millisecond
	// So often it waits for the first.
	firstWaits = 10

	sizeMax      = 65536
	socketBuffer = 8 << 20

	prSetTimerSlack = 29
	soRcvbufForce   = 33
	soSndbufForce   = 32
	sysSendmmsg     = syscallSendmmsg
	sysRecvmmsg     = syscall.SYS_RECVMMSG
	msgWaitForOne   = 0x10000
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header syscall.Msghdr
	length uint32
	_      [4]byte
}

type sent struct {
	Sent    int     `json:"sent"`
	Seconds float64 `json:"seconds"`
}

type received struct {
	Received int `json:"received"`
}

// sendDatagrams sends datagrams of so many bytes, evenly paced, as many per second as it is told or as
// it can. A burst is what is due after a tick.
func sendDatagrams(target string, bytes int, perSecond float64, length time.Duration) sent {
	address, err := net.ResolveUDPAddr("udp4", target)
	check(err)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	check(err)
	check(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soSndbufForce, socketBuffer))
	to := &syscall.SockaddrInet4{Port: address.Port}
	copy(to.Addr[:], address.IP.To4())
	check(syscall.Connect(fd, to))
	runtime.LockOSThread()
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, 1, 0)
	messages := makeMessages(bytes)
	rest := syscall.NsecToTimespec(int64(tick))
	start := time.Now()
	count, due, last := 0, 0.0, start
	for {
		now := time.Now()
		if now.Sub(start) >= length {
			return sent{count, now.Sub(start).Seconds()}
		}
		due += now.Sub(last).Seconds() * perSecond
		due = min(due, overdueMax.Seconds()*perSecond)
		last = now
		if due < 1 {
			syscall.Nanosleep(&rest, nil)
			continue
		}
		want := min(int(due), batch)
		n, _, errno := syscall.Syscall6(sysSendmmsg, uintptr(fd),
			uintptr(unsafe.Pointer(&messages[0])), uintptr(want), 0, 0, 0)
		if errno != 0 && errno != syscall.ENOBUFS && errno != syscall.ECONNREFUSED {
			check(errno)
		}
		if errno == 0 {
			count += int(n)
		}
		due -= float64(want)
	}
}

// receiveDatagrams counts what arrives until nothing more does.
func receiveDatagrams(port int) received {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	check(err)
	check(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soRcvbufForce, socketBuffer))
	wait := syscall.NsecToTimeval(int64(silence))
	check(syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait))
	check(syscall.Bind(fd, &syscall.SockaddrInet4{Port: port}))
	fmt.Println("ready")
	messages := makeMessages(sizeMax)
	count := 0
	for waits := 0; waits < firstWaits; {
		n, _, errno := syscall.Syscall6(sysRecvmmsg, uintptr(fd),
			uintptr(unsafe.Pointer(&messages[0])), batch, msgWaitForOne, 0, 0)
		if errno == 0 {
			count += int(n)
			continue
		}
		if errno != syscall.EAGAIN && errno != syscall.EINTR {
			check(errno)
		}
		if errno == syscall.EAGAIN && count > 0 {
			break
		}
		waits++
	}
	return received{count}
}

// makeMessages gives all messages of a batch one buffer: what is in it does not matter.
func makeMessages(bytes int) []mmsghdr {
	buffer := make([]byte, bytes)
	vector := &syscall.Iovec{Base: &buffer[0], Len: uint64(bytes)}
	messages := make([]mmsghdr, batch)
	for i := range messages {
		messages[i].header.Iov = vector
		messages[i].header.Iovlen = 1
	}
	return messages
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
