// Checks a history of a cluster's clients: that there is one order of all operations, in which each takes place between
// its call and its return, and in which every answer is right.
//
//	checker history.jsonl [visualization.html]
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

const bound = 5 * time.Minute

func check(path, picture string) error {
	h, err := load(path)
	if err != nil {
		return err
	}
	records := h.resolve()
	unknown := 0
	for _, r := range h.operations {
		if !r.Known {
			unknown++
		}
	}
	result, info := porcupine.CheckOperationsVerbose(model, operations(records), bound)
	if result != porcupine.Ok && picture != "" {
		if err := porcupine.VisualizePath(model, info, picture); err == nil {
			fmt.Println("see", picture)
		}
	}
	switch result {
	case porcupine.Illegal:
		return fmt.Errorf("the history is not linearizable")
	case porcupine.Unknown:
		return fmt.Errorf("no result within %v", bound)
	}
	if err := h.checkStaleReads(); err != nil {
		return err
	}
	fmt.Printf("linearizable: %d operations, %d of them not answered, %d revisions\n", len(h.operations), unknown, h.last)
	return nil
}

func main() {
	picture := ""
	if len(os.Args) > 2 {
		picture = os.Args[2]
	}
	if err := check(os.Args[1], picture); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}
