package manifest

import "testing"

func TestFill(t *testing.T) {
	const src, sum = "s3://acme/chef/a.tar.zst", "5b8e"
	tests := []struct{ name, doc, want string }{
		{"replaced where they stand", "dest: /srv/chef\nsrc: old\nchecksum: 00\nkeep: 3\n",
			"dest: /srv/chef\nsrc: \"s3://acme/chef/a.tar.zst\"\nchecksum: 5b8e\nkeep: 3\n"},
		{"added below the head's comments", "# the chef repo\n---\n\ndest: /srv/chef\n",
			"# the chef repo\n---\n\nsrc: \"s3://acme/chef/a.tar.zst\"\nchecksum: 5b8e\ndest: /srv/chef\n"},
		{"a template stays as it is", "dest: {{ env \"DEST\" }}\nsrc: x\n",
			"checksum: 5b8e\ndest: {{ env \"DEST\" }}\nsrc: \"s3://acme/chef/a.tar.zst\"\n"},
		{"nested keys of the same name stay", "index:\n  src: other\nsrc: x\nchecksum: y",
			"index:\n  src: other\nsrc: \"s3://acme/chef/a.tar.zst\"\nchecksum: 5b8e\n"},
		{"a key given twice leaves one", "src: a\nsrc: b\nchecksum: c\n",
			"src: \"s3://acme/chef/a.tar.zst\"\nchecksum: 5b8e\n"},
		{"nothing but a comment", "# soon", "# soon\nsrc: \"s3://acme/chef/a.tar.zst\"\nchecksum: 5b8e\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Fill([]byte(tt.doc), src, sum)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
	if _, err := Fill([]byte("dest: /x\nsrc: >\n  s3://a/b\n"), src, sum); err == nil || err.Error()[:2] != "2:" {
		t.Errorf("a src over two lines: got %v, want an error that names line 2", err)
	}
}
