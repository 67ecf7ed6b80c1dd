// Program load makes and takes the traffic of the peers benchmark that iperf3 and ping do not: paced
// datagrams, HTTP connections and requests, connections that stay idle. It says what it has seen as
// one line of JSON; servers say "ready" first and run until they are killed.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"
)

const usage = `load udp-send ADDRESS:PORT BYTES PER_SECOND SECONDS
load udp-receive PORT
load serve PORT
load connections ADDRESS:PORT AT_A_TIME SECONDS
load requests ADDRESS:PORT AT_A_TIME SECONDS
load idle ADDRESS:PORT COUNT`

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal(usage)
	}
	target := os.Args[2]
	switch os.Args[1] {
	case "udp-send":
		report(sendDatagrams(target, number(3), float64(number(4)), seconds(5)))
	case "udp-receive":
		report(receiveDatagrams(number(2)))
	case "serve":
		serve(number(2))
	case "connections":
		report(makeConnections(target, number(3), seconds(4)))
	case "requests":
		report(makeRequests(target, number(3), seconds(4)))
	case "idle":
		keepIdle(target, number(3))
	default:
		log.Fatal(usage)
	}
}

func number(argument int) int {
	return int(real(argument))
}

func seconds(argument int) time.Duration {
	return time.Duration(real(argument) * float64(time.Second))
}

func real(argument int) float64 {
	if argument >= len(os.Args) {
		log.Fatal(usage)
	}
	value, err := strconv.ParseFloat(os.Args[argument], 64)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func report(result any) {
	text, err := json.Marshal(result)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}
