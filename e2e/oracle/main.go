// The parsers of libcni and of the NPWG client, asked line by line: tests/differential.rs compares them with Plexus'.
//
// A question is {"kind": …, "text": …}; the answer has what they understood as "value", or why they refused as "error".
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
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

// The name of the network attachment definition whose configuration it is.
const definition = "nad"

// What the runtime has for whichever plugin declares the capability.
var offered = map[string]any{"ips": []string{"10.9.0.9/24"}, "mac": "02:00:00:00:00:09"}

type network struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	DisableCheck bool     `json:"disableCheck"`
	DisableGC    bool     `json:"disableGC"`
	OnlyInlined  bool     `json:"onlyInlined"`
	Plugins      []plugin `json:"plugins"`
}

type plugin struct {
	Type         string          `json:"type"`
	IPAM         string          `json:"ipam"`
	Capabilities []string        `json:"capabilities"`
	Stdin        json.RawMessage `json:"stdin"`
}

func networkOf(list *libcni.NetworkConfigList) (network, error) {
	found := network{list.Name, list.CNIVersion, list.DisableCheck, list.DisableGC, list.LoadOnlyInlinedPlugins, []plugin{}}
	for _, one := range list.Plugins {
		stdin, err := stdinOf(list, one)
		if err != nil {
			return found, err
		}
		declared := []string{}
		for capability, isOn := range one.Network.Capabilities {
			if isOn {
				declared = append(declared, capability)
			}
		}
		slices.Sort(declared)
		found.Plugins = append(found.Plugins, plugin{one.Network.Type, one.Network.IPAM.Type, declared, stdin})
	}
	return found, nil
}

// What the plugin reads in the first call: the steps of libcni's buildOneConfig, which is not exported.
func stdinOf(list *libcni.NetworkConfigList, one *libcni.PluginConfig) ([]byte, error) {
	common := map[string]any{}
	for capability, isOn := range one.Network.Capabilities {
		if value, isOffered := offered[capability]; isOn && isOffered {
			common[capability] = value
		}
	}
	one, err := libcni.InjectConf(one, map[string]any{"name": list.Name, "cniVersion": list.CNIVersion})
	if err == nil && len(common) > 0 {
		one, err = libcni.InjectConf(one, map[string]any{"runtimeConfig": common})
	}
	if err != nil {
		return nil, err
	}
	return one.Bytes, nil
}

// The configuration in a network attachment definition: with a type it is one plugin, as Multus decides it.
func ofDefinition(text string) (*libcni.NetworkConfigList, error) {
	bytes, err := utils.GetCNIConfigFromSpec(text, definition)
	if err != nil {
		return nil, err
	}
	var head types.PluginConf
	if err := json.Unmarshal(bytes, &head); err != nil {
		return nil, err
	}
	if head.Type == "" {
		return libcni.NetworkConfFromBytes(bytes)
	}
	single, err := libcni.ConfFromBytes(bytes)
	if err != nil {
		return nil, err
	}
	return libcni.ConfListFromConf(single)
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
		return networkOf(list)
	case "nad":
		list, err := ofDefinition(asked.Text)
		if err != nil {
			return nil, err
		}
		if len(list.Plugins) == 0 {
			return nil, fmt.Errorf("it has neither a type nor plugins")
		}
		return networkOf(list)
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
