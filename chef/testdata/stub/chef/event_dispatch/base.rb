class Chef
  module EventDispatch
    class Base
    end
  end
end
