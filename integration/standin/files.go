package standin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

func (c *run) file(r *resource, action string) ([]string, *exception) {
	path := r.prop("path", r.name)
	old, err := os.ReadFile(path)
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		return nil, errno(err, path)
	}
	if action == "delete" {
		return c.remove(path, absent, os.Remove)
	}
	var changes []string
	content, given := r.props["content"]
	if absent || given && !bytes.Equal(old, []byte(text(content))) {
		changes = append(changes, "update content in file "+path)
		if absent {
			changes[0] = "create new file " + path
		}
		if !c.whyRun {
			if err := os.WriteFile(path, []byte(text(content)), 0o644); err != nil {
				return nil, errno(err, path)
			}
		}
	}
	return c.mode(r, path, changes)
}

func (c *run) directory(r *resource, action string) ([]string, *exception) {
	path := r.prop("path", r.name)
	deep := truth(r.props["recursive"])
	_, err := os.Stat(path)
	absent := errors.Is(err, fs.ErrNotExist)
	if action == "delete" {
		if deep {
			return c.remove(path, absent, os.RemoveAll)
		}
		return c.remove(path, absent, os.Remove)
	}
	var changes []string
	if absent {
		changes = []string{"create new directory " + path}
		mkdir := os.Mkdir
		if deep {
			mkdir = os.MkdirAll
		}
		if !c.whyRun {
			if err := mkdir(path, 0o755); err != nil {
				return nil, errno(err, path)
			}
		}
	}
	return c.mode(r, path, changes)
}

func (c *run) remove(path string, absent bool, remove func(string) error) ([]string, *exception) {
	if absent {
		return nil, nil
	}
	if !c.whyRun {
		if err := remove(path); err != nil {
			return nil, errno(err, path)
		}
	}
	return []string{"delete " + path}, nil
}

// mode sets the permissions where the recipe names them, in octal.
func (c *run) mode(r *resource, path string, changes []string) ([]string, *exception) {
	if r.props["mode"] == nil {
		return changes, nil
	}
	want, err := strconv.ParseUint(r.prop("mode", ""), 8, 32)
	if n, ok := r.props["mode"].(int64); ok { // 0644, which Ruby has made a number of
		want, err = uint64(n), nil
	}
	if err != nil || want > 0o7777 {
		return nil, raise("Chef::Exceptions::ValidationFailed", "Option mode must be a valid octal mode, got %q", r.prop("mode", ""))
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm() == fs.FileMode(want)&fs.ModePerm {
		return changes, nil
	}
	if !c.whyRun {
		if err := os.Chmod(path, fs.FileMode(want)); err != nil {
			return nil, errno(err, path)
		}
	}
	return append(changes, fmt.Sprintf("change mode to '%04o'", want)), nil
}

// errno is what Ruby raises for a failed system call.
func errno(err error, path string) *exception {
	class, words := "SystemCallError", err.Error()
	for _, known := range []struct {
		err          error
		class, words string
	}{
		{fs.ErrNotExist, "Errno::ENOENT", "No such file or directory"},
		{fs.ErrPermission, "Errno::EACCES", "Permission denied"},
		{fs.ErrExist, "Errno::EEXIST", "File exists"},
	} {
		if errors.Is(err, known.err) {
			class, words = known.class, known.words
		}
	}
	return raise(class, "%s @ %s", words, path)
}
