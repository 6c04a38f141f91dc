
# The rest is the same in every run. It is evaluated twice (chef-solo reads its
# configuration once for itself and once as chef-client in local mode), so
# whatever it adds it adds once.

# A service has no LANG, and Ruby would take a solo.rb in UTF-8 for ASCII. Chef
# does the same, but only after its configuration.
Encoding.default_external = Encoding::UTF_8 if Encoding.default_external == Encoding::US_ASCII

# What this process changed in the first pass is not the release's word.
[:solo_d_dir, :client_d_dir].each { |key| configuration.delete(key) }

# To solo.rb, config_dir is what it was before Gurney put a file of its own in
# front. Afterwards Chef sets config_file to the argument of -c again, and so
# keeps what it writes beside its configuration out of the release.
config_file gurney[:config]
from_file gurney[:config]

# Chef would read these after the checks below, and look for them beside this
# file: so they are read here.
[:solo_d_dir, :client_d_dir].each do |key|
  dir = self[key]
  Dir.entries(dir).sort.each { |f| from_file(File.join(dir, f)) if f.end_with?(".rb") } if dir && File.directory?(dir)
  self[key] = File.join(gurney[:state], "none.d")
end

# The one thing that Chef reads beside its configuration.
self[:trusted_certs_dir] = File.join(File.dirname(gurney[:config]), "trusted_certs") unless key?(:trusted_certs_dir)

# One run in one process, whatever a solo.rb of a daemon says: a worker of
# Chef's own would make 1 of every exit code and go on when it is stopped.
[:interval, :splay, :daemonize].each { |key| self[key] = nil }
self[:client_fork] = false

# Before 16 Chef leaves its usual output away where there is no terminal, and
# with it what is missing and how much was done.
gurney_log = [self[:log_location]].flatten
self[:force_formatter] = true unless self[:force_logger] || gurney_log.any? { |l| [:syslog, :win_evt, "syslog", "win_evt"].include?(l) }

# A path need not exist to be outside: what does exist of it is resolved.
gurney_real = lambda do |path|
  rest = []
  until File.exist?(path) || File.symlink?(path) || path == "/"
    rest.unshift(File.basename(path))
    path = File.dirname(path)
  end
  begin
    path = File.realpath(path)
  rescue SystemCallError
    raise "gurney: #{path} is a symbolic link to nowhere"
  end
  rest.empty? ? path : File.join(path, *rest)
end
gurney_root = File.realpath(gurney[:release])
gurney_inside = lambda do |path|
  real = gurney_real.call(path)
  real == gurney_root || real.start_with?(gurney_root.chomp("/") + "/")
end
gurney_full = lambda { |value| Array(value).flatten.compact.map { |path| File.expand_path(path.to_s, gurney[:release]) } }
gurney_keys = [:chef_repo_path, :cookbook_path, :role_path, :environment_path, :data_bag_path, :cookbook_artifact_path, :policy_path, :policy_group_path]

# Relative paths are the release's, wherever Chef changes directory to. For one
# that is set to nothing Chef would look in the directories above.
gurney_keys.each do |key|
  next unless key?(key)
  if self[key].nil?
    configuration.delete(key)
    next
  end
  paths = gurney_full.call(self[key])
  self[key] = self[key].is_a?(Array) ? paths : paths.first if paths.any?
end
if !key?(:chef_repo_path) && (!key?(:cookbook_path) || gurney_full.call(self[:chef_repo_path]).any? { |path| !gurney_inside.call(path) })
  self[:chef_repo_path] = gurney[:release]
end

# Else a solo.rb with absolute paths would converge the old cookbooks and look
# green.
gurney_keys.each do |key|
  gurney_full.call(self[key]).each do |path|
    next if gurney_inside.call(path)
    where = gurney_real.call(path)
    where = where == path ? path : "#{path} (really #{where})"
    raise "gurney: #{key} #{where} is outside of the release #{gurney[:release]}: chef-solo would converge something else than what was deployed; make it relative in #{gurney[:config]}"
  end
end
if self[:recipe_url]
  raise "gurney: recipe_url in #{gurney[:config]} would unpack other cookbooks over the release #{gurney[:release]}; remove it"
end

# Neither the report nor the progress may ever break a converge.
begin
  require "json"
  require "chef/handler"
  require "chef/event_dispatch/base"

  unless defined?(::GurneyReport)
    module ::GurneyFile
      def self.write(path, data)
        tmp = path + ".tmp"
        File.open(tmp, "w") { |f| f.write(JSON.generate(data)) }
        File.rename(tmp, path)
      end

      def self.text(value, max)
        value.to_s.dup.force_encoding("UTF-8").scrub("?")[0, max]
      end
    end

    class ::GurneyReport < Chef::Handler
      def initialize(path, nonce)
        @path = path
        @nonce = nonce
        @completed = false
      end

      # Called for a success and for a failure; for both when Chef has
      # converged and then raises what becomes its exit code, such as a reboot.
      def report
        @completed ||= run_status.success?
        e = run_status.exception
        e = Array(e.wrapped_errors).compact.first || e if e.respond_to?(:wrapped_errors) # 12 to 14
        ::GurneyFile.write(@path,
          "v" => 1, "nonce" => @nonce, "completed" => @completed,
          "success" => run_status.success? ? true : false,
          "elapsed" => run_status.elapsed_time.to_f,
          "updated" => Array(run_status.updated_resources).length,
          "total" => Array(run_status.all_resources).length,
          "exception" => e ? e.class.name.to_s : "",
          "message" => e ? ::GurneyFile.text(e.message, 4000) : "",
          "run_id" => run_id_of.to_s,
          "roles" => roles)
      rescue StandardError => e
        Chef::Log.warn("gurney: no report: #{e.class}: #{e.message}")
      end

      private

      def run_id_of
        run_status.run_id if run_status.respond_to?(:run_id)
      end

      def roles
        list = run_status.node && run_status.node["roles"]
        list && Array(list).map { |r| ::GurneyFile.text(r, 200) }
      rescue StandardError
        nil
      end
    end

    class ::GurneyProgress < Chef::EventDispatch::Base
      def initialize(path, nonce)
        @path = path
        @nonce = nonce
        @seen = {}
        @at = 0.0
      end

      def converge_start(run_context)
        @context = run_context
        tell
      rescue StandardError
        nil
      end

      # Fires for every action, and for resources within resources: one of the
      # run's own resources counts once.
      def resource_completed(resource)
        return unless @context && resource.run_context.equal?(@context)
        @seen[resource.object_id] = true
        tell if Process.clock_gettime(Process::CLOCK_MONOTONIC) - @at >= 0.5
      rescue StandardError
        nil
      end

      private

      def tell
        @at = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        total = @context.resource_collection.all_resources.length
        ::GurneyFile.write(@path, "nonce" => @nonce, "done" => @seen.length, "total" => [total, @seen.length].max)
      end
    end
  end

  unless self[:report_handlers].any? { |h| h.is_a?(::GurneyReport) }
    gurney_report = self[:exception_handlers].find { |h| h.is_a?(::GurneyReport) } || ::GurneyReport.new(gurney[:report], gurney[:nonce])
    self[:report_handlers] << gurney_report
  end
  unless self[:exception_handlers].any? { |h| h.is_a?(::GurneyReport) }
    self[:exception_handlers] << self[:report_handlers].find { |h| h.is_a?(::GurneyReport) }
  end
  unless self[:event_handlers].any? { |h| h.is_a?(::GurneyProgress) }
    self[:event_handlers] << ::GurneyProgress.new(gurney[:progress], gurney[:nonce])
  end
rescue StandardError, LoadError => e
  warn "gurney: no handler: #{e.class}: #{e.message}"
end
