// The parsers of libcni and of the NPWG client, asked line by line: tests/differential.rs compares them with Plexus'.
//
// A question is {"kind": …, "text": …}; the answer has what they understood as "value", or why they refused as "error".
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containernetworking/cni/libcni"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/utils"
)

type question struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

type answer struct {
	Value any    `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

// The namespace of the pod whose annotation it is.
const namespace = "own"

type network struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	DisableCheck bool     `json:"disableCheck"`
	DisableGC    bool     `json:"disableGC"`
	OnlyInlined  bool     `json:"onlyInlined"`
	Plugins      []string `json:"plugins"`
}

func understand(asked question) (value any, err error) {
	// A crash of a parser is a finding, too.
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("it panics: %v", cause)
		}
	}()
	switch asked.Kind {
	case "annotation":
		return utils.ParseNetworkAnnotation(asked.Text, namespace)
	case "list":
		list, err := libcni.NetworkConfFromBytes([]byte(asked.Text))
		if err != nil {
			return nil, err
		}
		found := network{list.Name, list.CNIVersion, list.DisableCheck, list.DisableGC, list.LoadOnlyInlinedPlugins, []string{}}
		for _, plugin := range list.Plugins {
			found.Plugins = append(found.Plugins, plugin.Network.Type)
		}
		return found, nil
	case "result":
		result, err := create.CreateFromBytes([]byte(asked.Text))
		if err != nil {
			return nil, err
		}
		return current.NewResultFromResult(result)
	}
	return nil, fmt.Errorf("no such kind: %s", asked.Kind)
}

func main() {
	questions := bufio.NewReaderSize(os.Stdin, 1<<20)
	answers := bufio.NewWriterSize(os.Stdout, 1<<20)
	write := json.NewEncoder(answers)
	for {
		line, err := questions.ReadBytes('\n')
		var asked question
		if err != nil || json.Unmarshal(line, &asked) != nil {
			return
		}
		value, err := understand(asked)
		told := answer{Value: value}
		if err != nil {
			told = answer{Error: err.Error()}
		}
		if write.Encode(told) != nil {
			return
		}
		// Whoever asked many at once waits for all of them.
		if questions.Buffered() == 0 && answers.Flush() != nil {
			return
		}
	}
}
