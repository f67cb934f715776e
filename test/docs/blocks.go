package docs

import (
	"fmt"
	"strings"
)

// block is one fenced shell block.
type block struct {
	file   string
	line   int // of the opening fence
	mode   string
	before string // the paragraph right before it
	lines  []string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

// yamlBlocks finds the fenced configuration examples of a markdown text.
func yamlBlocks(text string) []string {
	var all []string
	for {
		_, rest, ok := strings.Cut(text, "```yaml\n")
		if !ok {
			return all
		}
		example, after, _ := strings.Cut(rest, "```")
		all = append(all, example)
		text = after
	}
}

// shellBlocks finds the blocks of a markdown text that claim to be shell.
func shellBlocks(file, text string) []block {
	var (
		all       []block
		open      *block
		other     bool // inside a block of another language
		paragraph []string
	)
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		info, fence := strings.CutPrefix(trimmed, "```")
		switch {
		case open != nil && fence:
			all = append(all, *open)
			open, paragraph = nil, nil
		case open != nil:
			if trimmed != "" && !strings.HasPrefix(trimmed, "#") {
				open.lines = append(open.lines, trimmed)
			}
		case other && fence:
			other, paragraph = false, nil
		case other:
		case fence:
			lang, mode, _ := strings.Cut(info, " ")
			if lang != "sh" && lang != "bash" && lang != "shell" && lang != "console" {
				other = true
				continue
			}
			open = &block{file: file, line: i + 1, mode: mode, before: strings.Join(paragraph, " ")}
		case trimmed == "":
			if len(paragraph) > 0 && paragraph[len(paragraph)-1] != "" {
				paragraph = append(paragraph, "")
			}
		default:
			if len(paragraph) > 0 && paragraph[len(paragraph)-1] == "" {
				paragraph = nil // a new paragraph begins
			}
			paragraph = append(paragraph, trimmed)
		}
	}
	return all
}
