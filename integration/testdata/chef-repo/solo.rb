cookbook_path File.expand_path('cookbooks', __dir__)
