using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Models;

/// <summary>
/// Fills parameters as their plan says. Each has a stream of its own, named by the parameter, and each element its position in it.
/// </summary>
internal static unsafe class ParameterInitialiser
{
    private const int ChunkFloats = 8 * 1024; // Some 50 µs: the least matrix of a large model still occupies many processors.

    public static void Fill(IEnumerable<Parameter> parameters, IEnumerable<ParameterSpec> plan, ulong seed)
    {
        foreach ((Parameter parameter, ParameterSpec spec) in parameters.Zip(plan))
        {
            Tensor values = parameter.Value;
            CounterRandom random = new CounterRandom(seed).Split(NameHash(spec.Name));
            values.Storage.Write((piece, start, bytes) =>
                Fill((float*)piece, start / sizeof(float), bytes / sizeof(float), spec.Initial, random));
            values.MarkWritten();
        }
    }

    /// <summary>Writes elements from the <paramref name="first"/> one of a parameter on.</summary>
    private static void Fill(float* values, long first, long count, Initialisation initial, CounterRandom random) =>
        WorkerPool.Shared.For((int)((count + ChunkFloats - 1) / ChunkFloats), chunk =>
        {
            long start = (long)chunk * ChunkFloats;
            var part = new Span<float>(values + start, (int)Math.Min(ChunkFloats, count - start));
            if (initial.Deviation == 0)
            {
                part.Fill(initial.Mean);
                return;
            }

            random.Normals(first + start, part);
            foreach (ref float value in part) value = initial.Mean + (initial.Deviation * value);
        });

    /// <summary>FNV-1a, 64 bits: the same on every machine and in every process, unlike string.GetHashCode.</summary>
    private static ulong NameHash(string name)
    {
        ulong hash = 0xCBF29CE484222325;
        foreach (char letter in name) hash = (hash ^ letter) * 0x100000001B3;
        return hash;
    }
}
