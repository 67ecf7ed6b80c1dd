package main

import (
	"bytes"
	"fmt"
	"log"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	bodyBytes = 128
	// A client that gets no answer in so long counts an error.
	answerTimeout = 5 * time.Second
	// Bounds the connections that are being made at once for `idle`.
	idleAtATime = 16
)

var (
	headerEnd = []byte("\r\n\r\n")
	request   = []byte("GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
	answer    = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
		strconv.Itoa(bodyBytes) + "\r\n\r\n" + string(bytes.Repeat([]byte("x"), bodyBytes)))
)

// outcome is what a load of connections or requests has found.
type outcome struct {
	PerSecond float64 `json:"perSecond"`
	P50Ms     float64 `json:"p50Ms"`
	P99Ms     float64 `json:"p99Ms"`
	Errors    int     `json:"errors"`
}

// serve answers each request with the same text, and ends a connection when the client does.
func serve(port int) {
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	check(err)
	fmt.Println("ready")
	for {
		connection, err := listener.Accept()
		check(err)
		go answerAll(connection)
	}
}

func answerAll(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, 4096)
	filled := 0
	for {
		n, err := connection.Read(buffer[filled:])
		if err != nil {
			return
		}
		filled += n
		if !bytes.HasSuffix(buffer[:filled], headerEnd) {
			continue
		}
		if _, err := connection.Write(answer); err != nil {
			return
		}
		filled = 0
	}
}

// makeConnections opens connection after connection, asks once on each and ends it. It is the client
// that ends first: not every forwarder passes the end of a service on while the client is there.
func makeConnections(target string, atATime int, length time.Duration) outcome {
	return load(atATime, length, func(int) func() error {
		buffer := make([]byte, 4096)
		return func() error {
			connection, err := dial(target)
			if err != nil {
				return err
			}
			defer connection.Close()
			return ask(connection, buffer)
		}
	})
}

// makeRequests asks again and again on connections that are kept.
func makeRequests(target string, atATime int, length time.Duration) outcome {
	return load(atATime, length, func(int) func() error {
		buffer := make([]byte, 4096)
		connection, err := dial(target)
		check(err)
		return func() error {
			connection.SetDeadline(time.Now().Add(answerTimeout))
			return ask(connection, buffer)
		}
	})
}

// keepIdle opens connections, asks once on each so that both ends hold it, and leaves them alone.
func keepIdle(target string, count int) {
	connections := make([]net.Conn, count)
	var group sync.WaitGroup
	for worker := range idleAtATime {
		group.Add(1)
		go func() {
			defer group.Done()
			buffer := make([]byte, 4096)
			for i := worker; i < count; i += idleAtATime {
				connection, err := dial(target)
				check(err)
				check(ask(connection, buffer))
				connection.SetDeadline(time.Time{})
				connections[i] = connection
			}
		}()
	}
	group.Wait()
	fmt.Println("ready")
	select {}
}

// load runs so many workers for so long; `start` gives each the piece of work that it repeats.
func load(atATime int, length time.Duration, start func(worker int) func() error) outcome {
	times := make([][]time.Duration, atATime)
	failures := make([]int, atATime)
	work := make([]func() error, atATime)
	for worker := range work {
		work[worker] = start(worker)
	}
	begin := time.Now()
	var group sync.WaitGroup
	for worker := range atATime {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				before := time.Now()
				if before.Sub(begin) >= length {
					return
				}
				if err := work[worker](); err != nil {
					if failures[worker] == 0 {
						log.Print(err)
					}
					failures[worker]++
					continue
				}
				times[worker] = append(times[worker], time.Since(before))
			}
		}()
	}
	group.Wait()
	elapsed := time.Since(begin).Seconds()
	all := slices.Concat(times...)
	slices.Sort(all)
	errors := 0
	for _, count := range failures {
		errors += count
	}
	return outcome{float64(len(all)) / elapsed, milliseconds(all, 50), milliseconds(all, 99), errors}
}

func milliseconds(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*percent/100].Seconds() * 1000
}

func dial(target string) (net.Conn, error) {
	connection, err := net.DialTimeout("tcp4", target, answerTimeout)
	if err == nil {
		connection.SetDeadline(time.Now().Add(answerTimeout))
	}
	return connection, err
}

func ask(connection net.Conn, buffer []byte) error {
	if _, err := connection.Write(request); err != nil {
		return err
	}
	for filled := 0; filled < len(answer); {
		n, err := connection.Read(buffer[filled:len(answer)])
		if err != nil {
			return err
		}
		filled += n
	}
	return nil
}
