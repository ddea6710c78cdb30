#include "block.h"
namespace emulator { void reset_products() {} }
