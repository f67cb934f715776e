package main

import "github.com/spf13/cobra"

func newPR() *cobra.Command {
	return newNoun("pr", "Who holds which disk, since when, and what happened before",
		newPRShow(), newPRHistory(), newPRWatch(), newPRClear())
}
