// A kernel that touches memory it does not own ends its launch, not the process.
#pragma once

#include <csetjmp>
#include <string>

namespace emulator
{
class FaultGuard
{
public:
    FaultGuard();
    ~FaultGuard();
    void arm(); // from now on a fault of this host thread jumps to `resume`
    void disarm();
    bool has_faulted() const;
    std::string describe() const;

    sigjmp_buf resume;
};
}
