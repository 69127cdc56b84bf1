package sandbus_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// conformance reads a table that the tests of all SDKs share.
func conformance(t *testing.T, name string, table any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../conformance", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, table); err != nil {
		t.Fatal(err)
	}
}

// TestNames checks that each name of the table exists, and that each public name is in the table.
func TestNames(t *testing.T) {
	var table struct {
		Capabilities []struct {
			Capability string
			Go         *string
		}
	}
	conformance(t, "capabilities", &table)
	declared := map[string]bool{"slog.Debug": true, "slog.Info": true, "slog.Warn": true, "slog.Error": true}
	top := map[string]bool{}
	for directory, prefix := range map[string]string{
		".": "", "state": "state.", "config": "config.", "client": "client.", "sandbustest": "sandbustest.",
	} {
		declared[strings.TrimSuffix(prefix, ".")] = true
		for name, isTop := range namesIn(t, directory) {
			declared[prefix+name] = true
			if isTop {
				top[prefix+name] = true
			}
		}
	}
	named := map[string]bool{}
	for _, row := range table.Capabilities {
		if row.Go == nil {
			continue
		}
		if !declared[*row.Go] {
			t.Errorf("%s: there is no %s", row.Capability, *row.Go)
		}
		parts := strings.Split(strings.Split(*row.Go, "(")[0], ".")
		for end := range parts {
			named[strings.Join(parts[:end+1], ".")] = true
		}
	}
	if len(named) < 100 {
		t.Errorf("the table has %d names", len(named))
	}
	// Names that another one needs, such as the types of options, are no capabilities of their own.
	for _, name := range []string{
		"ConfigKey", "DeadLetterPark", "DeadLetterPolicy", "DeadLetterRelease", "Filter", "Header", "Missed",
		"MissedCatchUp", "MissedRunOnce", "MissedSkip", "NoJitter", "ParseTime", "RetryAfter", "Serve", "Start", "StartAt",
		"StartAtPosition", "StartBeginning", "StartNow", "Target", "sandbustest.DeliveryOptions", "sandbustest.New",
		"sandbustest.Options", "sandbustest.Outcome", "sandbustest.Reply", "sandbustest.RequestOptions",
		"sandbustest.Sent",
	} {
		if !top[name] {
			t.Errorf("there is no %s", name)
		}
		delete(top, name)
	}
	for name := range top {
		if !named[name] {
			t.Errorf("%s is not in the table", name)
		}
	}
}

// namesIn returns the exported names of a package: its own, which are true, and members and parameters.
func namesIn(t *testing.T, directory string) map[string]bool {
	t.Helper()
	isSource := func(file fs.FileInfo) bool { return !strings.HasSuffix(file.Name(), "_test.go") }
	packages, err := parser.ParseDir(token.NewFileSet(), directory, isSource, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, source := range packages {
		for _, file := range source.Files {
			for _, declaration := range file.Decls {
				addNames(names, declaration)
			}
		}
	}
	return names
}

func addNames(names map[string]bool, declaration ast.Decl) {
	switch declaration := declaration.(type) {
	case *ast.FuncDecl:
		name := declaration.Name.Name
		owner := ""
		if declaration.Recv != nil {
			kind := declaration.Recv.List[0].Type
			if pointer, ok := kind.(*ast.StarExpr); ok {
				kind = pointer.X
			}
			owner = kind.(*ast.Ident).Name + "."
		}
		if !ast.IsExported(name) || owner != "" && !ast.IsExported(owner) {
			return
		}
		names[owner+name] = owner == ""
		for _, parameters := range declaration.Type.Params.List {
			for _, parameter := range parameters.Names {
				names[owner+name+"("+parameter.Name+")"] = false
			}
		}
	case *ast.GenDecl:
		for _, spec := range declaration.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if !spec.Name.IsExported() {
					continue
				}
				names[spec.Name.Name] = true
				if structure, ok := spec.Type.(*ast.StructType); ok {
					for _, field := range structure.Fields.List {
						for _, name := range field.Names {
							names[spec.Name.Name+"."+name.Name] = false
						}
					}
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if name.IsExported() {
						names[name.Name] = true
					}
				}
			}
		}
	}
}
