package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
)

func newTarget() *cobra.Command {
	return newNoun("target", "What initiators log in to", newTargetList(), newTargetShow(),
		newCreate(targetNoun), newSet(targetNoun), newDelete(targetNoun))
}

func newTargetList() *cobra.Command {
	return newQuery(&cobra.Command{
		Use: "list", Short: "Targets", Args: usage(cobra.NoArgs),
	}, func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Target, error) { return c.Targets(ctx) }, targetTable)
}

func targetTable(w io.Writer, all []admin.Target) {
	t := newTable([]string{"NAME", "ALIAS", "ACCESS", "GROUPS", "LUNS", "INITIATORS"}, "NAME", "ALIAS")
	for _, x := range all {
		t.row(x.Name, dash(x.Alias), x.Access, numbers(x.PortalGroups), fmt.Sprint(len(x.LUNs)), fmt.Sprint(len(x.Initiators)))
	}
	t.print(w, "")
}

func numbers(ns []uint16) string {
	if len(ns) == 0 {
		return "-"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(ns), " ", ","), "[]")
}

func newTargetShow() *cobra.Command {
	return newQuery(&cobra.Command{
		Use: "show NAME", Short: "One target, its LUNs and who may log in", Args: usage(cobra.ExactArgs(1)), ValidArgsFunction: names(targetNames),
	}, func(ctx context.Context, c *admin.Client, args []string) (admin.Target, error) {
		return c.Target(ctx, args[0])
	}, targetShow)
}

func targetShow(w io.Writer, x admin.Target) {
	fields(w, "name", x.Name, "alias", x.Alias, "access", x.Access, "groups", numbers(x.PortalGroups))
	if len(x.LUNs) > 0 {
		fmt.Fprintln(w)
		lunTable(w, x.LUNs)
	}
	if len(x.Initiators) > 0 {
		fmt.Fprintln(w)
		initiatorTable(w, x.Initiators)
	}
}
