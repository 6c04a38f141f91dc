# What wrapper.rb needs of Chef::Handler, for a Chef::Config without Chef.
class Chef
  class Handler
    attr_reader :run_status

    def run_report_unsafe(run_status)
      @run_status = run_status
      report
    end
  end
end
