// From kernel text to a shared library, through g++. Libraries are kept on disk by the hash of all that went in.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace emulator
{
// A "cubin" of the emulator is the program itself: whoever keeps it gets it compiled anew by an emulator that has changed.
struct Program
{
    std::string source, name;
    std::map<std::string, std::string> headers;
    std::vector<std::string> options;

    std::string serialize() const;
    static bool deserialize(const char *image, Program &program);
};

struct Compiled
{
    std::string library; // path; empty: the log says why
    std::string log;
};
Compiled compile(const Program &program);
}
