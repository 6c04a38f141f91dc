package standin

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// truth is Ruby's: all but nil and false.
func truth(v any) bool { return v != nil && v != false }

// text is Ruby's to_s, as far as strings are made of it.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case symbol:
		return string(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any, map[string]any:
		return inspect(v)
	}
	return fmt.Sprint(v)
}

func inspect(v any) string {
	if v == nil {
		return "nil"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// texts makes a list of a value that may be one thing or several.
func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		if v == nil {
			return nil
		}
		return []string{text(v)}
	}
	var out []string
	for _, x := range list {
		out = append(out, texts(x)...)
	}
	return out
}

// file is a method of Ruby's File or Dir.
func file(method string, args []any) any {
	if len(args) == 0 {
		panic(raise("ArgumentError", "File.%s without arguments", method))
	}
	a := texts(args)
	switch method {
	case "expand_path":
		path := a[0]
		if len(a) > 1 && !filepath.IsAbs(path) {
			path = filepath.Join(a[1], path)
		}
		full, err := filepath.Abs(path)
		if err != nil {
			panic(errno(err, path))
		}
		return full
	case "join":
		return strings.Join(a, "/")
	case "dirname":
		return filepath.Dir(a[0])
	case "basename":
		return filepath.Base(a[0])
	case "read":
		data, err := os.ReadFile(a[0])
		if err != nil {
			panic(raise("Errno::ENOENT", "No such file or directory @ rb_sysopen - %s", a[0]))
		}
		return string(data)
	case "exist?", "file?", "directory?":
		info, err := os.Stat(a[0])
		return err == nil && (method == "exist?" || info.IsDir() == (method == "directory?"))
	}
	panic(unknown("File.%s", method))
}
