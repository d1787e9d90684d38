// Command pod is the program of every pod of a test cluster: the sandbox's pause, a server, or a client that makes an
// exact number of connects in every window of a schedule.
//
//	pause
//	serve PORT...
//	call PERIOD ADDRESS COUNT [ADDRESS COUNT ...]   in each window of PERIOD (60s), COUNT connects to ADDRESS
//	join PERIOD ADDRESS COUNT [ADDRESS COUNT ...]   the same from now on: what of this window's is past is left out
//	job PERIOD MINUTE ADDRESS COUNT                 the same in the windows that belong to the job of MINUTE, then the end
//	dial ADDRESS COUNT                              COUNT connects now; also prints which client address the server saw
//
// Windows begin at whole multiples of their period. To the job of a minute (its start in RFC 3339, or `now`) belong those
// that begin within a minute from one period after its start on: one job for each window, and time for its pod to start.
//
// A client prints one JSON line a window: what it really made, the truth that a map is compared with. A client that is
// stopped ends after the connect that it is at and prints what it made of its last window; where COUNTS names a folder,
// each line is also in a file of that folder, which outlives the pod.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const patient = 5 * time.Second

type made struct {
	Window      string `json:"window"`
	Address     string `json:"address"`
	Attempts    int    `json:"attempts"`
	Established int    `json:"established"`
	Failed      int    `json:"failed"`
	// Seen counts connects by the client's address at the server; of dial only.
	Seen map[string]int `json:"seen,omitempty"`
}

func pause() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	child := make(chan os.Signal, 1)
	signal.Notify(child, syscall.SIGCHLD)
	for {
		select {
		case <-stop:
			return
		case <-child:
			for {
				if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
					break
				}
			}
		}
	}
}

func serve(port string) {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer connection.Close()
			buffer := make([]byte, 1)
			connection.SetDeadline(time.Now().Add(patient))
			if n, _ := connection.Read(buffer); n == 1 {
				host, _, _ := net.SplitHostPort(connection.RemoteAddr().String())
				connection.Write([]byte(host))
			}
		}()
	}
}

// connect makes one attempt; where it completes, the server answers a byte with the address that it sees.
func connect(address string) (seen string, established bool) {
	connection, err := net.DialTimeout("tcp4", address, patient)
	if err != nil {
		return "", false
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patient))
	connection.Write([]byte("x"))
	connection.(*net.TCPConn).CloseWrite() // a server of another kind, which waits for more, ends too
	answer, _ := io.ReadAll(connection)
	return string(answer), true
}

// resolved has the address's host as a number, so that every dial is exactly one TCP connect attempt.
func resolved(address string) string {
	for {
		answer, err := net.ResolveTCPAddr("tcp4", address)
		if err == nil {
			return answer.String()
		}
		log.Print(err)
		time.Sleep(time.Second)
	}
}

var stopped = make(chan struct{})

// until returns at that time, or false as soon as the program is to end.
func until(due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-stopped:
		return false
	case <-timer.C:
		return true
	}
}

func call(address string, count int, window time.Time, period time.Duration, printed *sync.Mutex) {
	target := resolved(address)
	quiet := period / 7 // after a window's start and before its end: no connect near a border
	step := (period - 2*quiet) / time.Duration(count)
	result := made{Window: window.UTC().Format(time.RFC3339), Address: address}
	began := time.Now()
	for number := range count {
		due := window.Add(quiet + time.Duration(number)*step)
		if window.Before(began) && due.Before(began) {
			continue
		}
		// A client that timeouts have held up leaves out what would be another window's.
		if !until(due) || time.Since(window) > period-quiet/2 {
			break
		}
		result.Attempts++
		if _, established := connect(target); established {
			result.Established++
		} else {
			result.Failed++
		}
	}
	line, _ := json.Marshal(result)
	printed.Lock()
	defer printed.Unlock()
	fmt.Println(string(line))
	keep(line)
}

// keep writes a line where it outlives the pod, if a folder for that is named.
func keep(line []byte) {
	folder := os.Getenv("COUNTS")
	if folder == "" {
		return
	}
	host, _ := os.Hostname()
	file, err := os.OpenFile(filepath.Join(folder, host), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		log.Fatal(err)
	}
}

func callAll(arguments []string, window time.Time, period time.Duration) {
	var printed sync.Mutex
	var every sync.WaitGroup
	for place := 0; place+1 < len(arguments); place += 2 {
		count := number(arguments[place+1])
		every.Add(1)
		go func() {
			defer every.Done()
			call(arguments[place], count, window, period, &printed)
		}()
	}
	every.Wait()
}

func dial(address string, count int) {
	result := made{Address: address, Seen: map[string]int{}}
	target := resolved(address)
	for range count {
		result.Attempts++
		if seen, established := connect(target); established {
			result.Established++
			result.Seen[seen]++
		} else {
			result.Failed++
		}
	}
	line, _ := json.Marshal(result)
	fmt.Println(string(line))
}

func number(text string) int {
	count, err := strconv.Atoi(text)
	if err != nil || count < 1 {
		log.Fatalf("count %q, expected a number from 1 on", text)
	}
	return count
}

func running() bool {
	select {
	case <-stopped:
		return false
	default:
		return true
	}
}

func next(period time.Duration) time.Time {
	return time.Now().Truncate(period).Add(period)
}

func seconds(text string) time.Duration {
	period, err := time.ParseDuration(text)
	if err != nil || period < time.Second || time.Minute%period != 0 {
		log.Fatalf("period %q, expected a part of a minute, such as 60s", text)
	}
	return period
}

func job(text string, period time.Duration, arguments []string) {
	minute := time.Now().Truncate(time.Minute)
	if text != "now" {
		var err error
		if minute, err = time.Parse(time.RFC3339, text); err != nil {
			log.Fatal(err)
		}
	}
	end := minute.Add(period + time.Minute)
	for window := minute.Add(period); running() && window.Before(end); window = window.Add(period) {
		if window.After(time.Now()) {
			callAll(arguments, window, period)
		}
	}
}

func main() {
	if len(os.Args) < 2 || os.Args[1] == "pause" {
		pause()
		return
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		close(stopped)
		if client := map[string]bool{"call": true, "join": true, "job": true}; !client[os.Args[1]] {
			os.Exit(0)
		}
	}()
	switch os.Args[1] {
	case "serve":
		for _, port := range os.Args[2:] {
			go serve(port)
		}
		select {}
	case "call", "join":
		period := seconds(os.Args[2])
		window := next(period)
		if os.Args[1] == "join" {
			window = window.Add(-period)
		}
		for running() {
			callAll(os.Args[3:], window, period)
			window = window.Add(period)
		}
	case "job":
		job(os.Args[3], seconds(os.Args[2]), os.Args[4:])
	case "dial":
		dial(os.Args[2], number(os.Args[3]))
	default:
		log.Fatalf("word %q, expected pause, serve, call, join, job or dial", os.Args[1])
	}
}
