// Results of the driver's calls, by their real numbers.
#pragma once

enum Result
{
    success = 0,
    invalid_value = 1,
    out_of_memory = 2,
    invalid_device = 101,
    invalid_image = 200,
    invalid_handle = 400,
    not_found = 500,
    illegal_address = 700,
    launch_failed = 719,
    cooperative_launch_too_large = 720,
    not_supported = 801,
};
