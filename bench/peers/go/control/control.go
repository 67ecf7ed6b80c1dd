// Program control is the coordination server of two tailscaled nodes in a bench: in memory, with a
// relay and a STUN server of its own, on the address that it is given.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"testing"

	"tailscale.com/tstest/integration"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

// host is as much of a testing.TB as the relay needs outside of a test.
type host struct{ testing.TB }

func (host) Cleanup(func())                  {}
func (host) Helper()                         {}
func (host) Logf(string, ...any)             {}
func (host) Log(...any)                      {}
func (host) Fatal(args ...any)               { log.Fatal(args...) }
func (host) Fatalf(text string, args ...any) { log.Fatalf(text, args...) }

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: control ADDRESS")
	}
	address := os.Args[1]
	relays := integration.RunDERPAndSTUN(host{}, logger.Discard, address)
	listen := address + ":9911"
	server := &testcontrol.Server{DERPMap: relays, ExplicitBaseURL: "http://" + listen, Logf: logger.Discard}
	fmt.Println("ready")
	log.Fatal(http.ListenAndServe(listen, server))
}
