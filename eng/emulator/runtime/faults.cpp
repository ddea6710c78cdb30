#include "faults.h"

#include "block.h"

#include <csignal>
#include <cstdio>
#include <memory>
#include <ucontext.h>

namespace emulator
{
namespace
{
constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr size_t handler_stack_bytes = 128 * 1024;

struct sigaction previous[4];
stack_t previous_stack;
thread_local FaultGuard *armed;
int fault_signal;
void *fault_address;
const void *fault_place;

void handle(int signal, siginfo_t *info, void *context)
{
    if (armed != nullptr)
    {
        fault_signal = signal;
        fault_address = info->si_addr;
        fault_place = reinterpret_cast<const void *>(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
        siglongjmp(armed->resume, 1);
    }
    // Another thread of the process: whoever handled its faults before still does.
    for (int i = 0; i < 4; i++)
    {
        if (signals[i] != signal) continue;
        if (previous[i].sa_flags & SA_SIGINFO)
            previous[i].sa_sigaction(signal, info, context);
        else if (previous[i].sa_handler == SIG_DFL)
            sigaction(signal, &previous[i], nullptr);
        else if (previous[i].sa_handler != SIG_IGN)
            previous[i].sa_handler(signal);
    }
}

// An overflowing stack leaves no room for the handler: it has one of its own.
unsigned char *handler_stack()
{
    thread_local std::unique_ptr<unsigned char[]> stack(new unsigned char[handler_stack_bytes]);
    return stack.get();
}
}

FaultGuard::FaultGuard()
{
    fault_signal = 0;
    stack_t stack{};
    stack.ss_sp = handler_stack();
    stack.ss_size = handler_stack_bytes;
    sigaltstack(&stack, &previous_stack);
    struct sigaction action{};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int i = 0; i < 4; i++) sigaction(signals[i], &action, &previous[i]);
}

FaultGuard::~FaultGuard()
{
    for (int i = 0; i < 4; i++) sigaction(signals[i], &previous[i], nullptr);
    sigaltstack(&previous_stack, nullptr);
}

void FaultGuard::arm() { armed = this; }
void FaultGuard::disarm() { armed = nullptr; }
bool FaultGuard::has_faulted() const { return fault_signal != 0; }

std::string FaultGuard::describe() const
{
    char text[128];
    if (fault_signal == SIGFPE)
        snprintf(text, sizeof text, "integer division by zero");
    else if (fault_signal == SIGILL)
        snprintf(text, sizeof text, "misaligned access (or the end of a function that returns nothing)");
    else
        snprintf(text, sizeof text, "illegal access, address %p", fault_address);
    return std::string(text) + "\n    " + describe_address(fault_place);
}
}
