package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"nas-target/internal/plain"
)

// form is how an answer is printed. The table is for people and may change;
// json and yaml are for programs and carry the API's names.
type form string

const (
	formTable form = "table"
	formJSON  form = "json"
	formYAML  form = "yaml"
)

// outputFlag adds -o.
func outputFlag(c *cobra.Command) *form {
	f := formTable
	c.Flags().VarP(&f, "output", "o", "table, json or yaml")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{string(formTable), string(formJSON), string(formYAML)}, cobra.ShellCompDirectiveNoFileComp))
	return &f
}

func (f *form) String() string { return string(*f) }
func (f *form) Type() string   { return "form" }

// Set implements pflag.Value.
func (f *form) Set(s string) error {
	switch form(s) {
	case formTable, formJSON, formYAML:
		*f = form(s)
		return nil
	}
	return fmt.Errorf("it is table, json or yaml")
}

// print writes v in the chosen form; table writes it for people.
func (f *form) print(w io.Writer, v any, table func(io.Writer)) error {
	if *f == formTable {
		var b bytes.Buffer
		table(&b)
		_, err := w.Write(b.Bytes())
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b = plain.JSON(b)
	if *f == formJSON {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, b, "", "  "); err != nil {
			return err
		}
		pretty.WriteByte('\n')
		_, err := w.Write(pretty.Bytes())
		return err
	}
	// Through JSON, so that both forms have the same names.
	var node yaml.Node
	if err := yaml.Unmarshal(b, &node); err != nil {
		return err
	}
	blockStyle(&node)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return err
	}
	return enc.Close()
}

// blockStyle undoes JSON's braces and quotes.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		blockStyle(c)
	}
}
