# Evaluates the wrapper given first with the real Chef::Config, twice as
# chef-solo does, and prints what came of it. What follows in the arguments is
# done with the handlers: "success", "failure", "wrapped", "reboot" or "progress".
require "json"
require "ostruct"
require "chef-config/config"

class Chef
  Config = ChefConfig::Config
  module Log
    def self.warn(text)
      $stderr.puts text
    end
  end
end

wrapper, ending = ARGV
config = Chef::Config
out = {}
begin
  config.config_file = wrapper
  config[:solo_d_dir] # Chef has looked at it before
  2.times do
    config.from_string(File.read(wrapper), wrapper)
    config.merge!(config_file: wrapper) # the arguments have the last word
    config.local_mode = true # chef-solo, before it goes on as chef-client
  end
  %i[config_file config_dir chef_repo_path cookbook_path role_path environment_path data_bag_path solo_d_dir log_level
     trusted_certs_dir cache_path interval splay daemonize client_fork force_formatter].each do |key|
    out[key] = config[key]
  end
  %i[report_handlers exception_handlers event_handlers].each do |key|
    out[key] = config[key].map { |handler| handler.class.name }
  end

  status = OpenStruct.new(
    success?: true, elapsed_time: 1.5, updated_resources: [1, 2], all_resources: [1, 2, 3],
    run_id: "an-id", node: { "roles" => %w[web base] })
  failed = status.dup.tap { |s| s[:success?] = false }
  tell = ->(handlers, as) { handlers.each { |handler| handler.run_report_unsafe(as) } }
  case ending
  when "success"
    tell.call(config[:report_handlers], status)
  when "failure"
    failed.exception = RuntimeError.new("no \xff luck".b)
    tell.call(config[:exception_handlers], failed)
  when "wrapped"
    failed.exception = RuntimeError.new("Found 1 errors, they are stored in the backtrace")
    failed.exception.define_singleton_method(:wrapped_errors) { [nil, IOError.new("the real one")] }
    tell.call(config[:exception_handlers], failed)
  when "reboot"
    tell.call(config[:report_handlers], status)
    failed.exception = IOError.new("reboot")
    tell.call(config[:exception_handlers], failed)
  when "progress"
    run = OpenStruct.new(resource_collection: OpenStruct.new(all_resources: [1, 2, 3]))
    mine, nested = OpenStruct.new(run_context: run), OpenStruct.new(run_context: OpenStruct.new)
    progress = config[:event_handlers].first
    progress.resource_completed(mine) # before the converge, at compile time
    progress.converge_start(run)
    [mine, mine, nested].each { |resource| progress.resource_completed(resource) }
    progress.instance_variable_set(:@at, 0.0)
    progress.resource_completed(nested)
    progress.resource_completed(mine)
  end
rescue StandardError, SyntaxError => e
  out = { error: e.message }
end
puts JSON.generate(out)
