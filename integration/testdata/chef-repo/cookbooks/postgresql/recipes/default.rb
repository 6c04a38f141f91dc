file "#{ENV['HOST']}/etc/postgresql.conf" do
  content "port = 5432\n"
end
