# packer init . && packer build -var release=s3://acme/chef/manifest.yml .
#
# An image that is converged, in maintenance, and nobody yet. docs/boot.md tells
# what happens at its first boot, docs/systemd.md what the units are for.

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}

variable "release" {
  type        = string
  description = "URL of the manifest to bake in."
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "instance_profile" {
  type        = string
  description = "May read the release: docs/s3-policy.json."
  default     = "gurney-bake"
}

source "amazon-ebs" "web" {
  region               = var.region
  instance_type        = "t3.medium"
  iam_instance_profile = var.instance_profile
  ssh_username         = "admin"
  ami_name             = "web-{{timestamp}}"

  source_ami_filter {
    filters = {
      name                = "debian-13-amd64-*"
      virtualization-type = "hvm"
    }
    owners      = ["136693071363"] # Debian
    most_recent = true
  }
}

build {
  sources = ["source.amazon-ebs.web"]

  # bin/gurney, gurney.yml, the units, and what your Consul needs.
  provisioner "file" {
    sources     = ["gurney", "gurney.yml", "consul.hcl", "consul.service", "../systemd/gurney.service", "../systemd/gurney-bootstrap.service", "../systemd/gurney-ready.target"]
    destination = "/tmp/"
  }

  provisioner "shell" {
    execute_command = "sudo sh -eux -c '{{ .Vars }} {{ .Path }}'"
    inline = [
      "apt-get update",
      "apt-get install -y consul chef",
      "install -m 0755 /tmp/gurney /usr/local/bin/gurney",
      "install -D -m 0600 /tmp/gurney.yml /etc/gurney/gurney.yml",
      "install -D -m 0640 -g consul /tmp/consul.hcl /etc/consul.d/consul.hcl",
      "install -m 0644 -t /etc/systemd/system /tmp/consul.service /tmp/gurney.service /tmp/gurney-bootstrap.service /tmp/gurney-ready.target",
      "systemctl daemon-reload",
      # A Consul that joins nobody is enough to keep the maintenance, and the
      # image never stands in your catalog: user data adds retry_join. It is
      # stopped by a kill: one that leaves would write that down too, and one
      # that is started again would write its node-id.
      "systemd-run --unit=consul-bake -p User=consul -p KillSignal=SIGKILL consul agent -config-dir=/etc/consul.d",
      "timeout 60 sh -c 'until curl -fs localhost:8500/v1/agent/self > /dev/null; do sleep 1; done'",
    ]
  }

  provisioner "shell" {
    execute_command = "sudo sh -eux -c '{{ .Vars }} {{ .Path }}'"
    inline = [
      "gurney bake ${var.release} --consul-data-dir /var/lib/consul",
      "systemctl stop consul-bake",
      "systemctl enable consul gurney-bootstrap",
      "systemctl disable gurney nginx",
      "systemctl add-wants gurney-ready.target gurney.service nginx.service",
      # Each clone becomes a machine of its own.
      "truncate -s 0 /etc/machine-id",
      "cloud-init clean --logs",
    ]
  }
}
