// Programs of the testbed: the applications of the book, and the client that puts load on them.
//
// Hundreds of them start in one run of the tests and every request passes through two or three, so
// they begin in milliseconds and cost next to nothing per request.
package main

import (
	"fmt"
	"os"
)

var programs = map[string]func(arguments []string) error{
	"catalog": runCatalog,
	"webapp":  runWebapp,
	"load":    runLoad,
}

func main() {
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: programs catalog | webapp | load OPTIONS")
		os.Exit(2)
	}
	if err := programs[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
