using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Models;

/// <summary>
/// Fills parameters as their plan says. Each has a stream of its own, named by the parameter, and each element its position in it.
/// </summary>
internal static class ParameterInitialiser
{
    private const int ChunkFloats = 64 * 1024;

    public static void Fill(IEnumerable<Parameter> parameters, IEnumerable<ParameterSpec> plan, ulong seed)
    {
        foreach ((Parameter parameter, ParameterSpec spec) in parameters.Zip(plan))
        {
            var values = new float[parameter.Value.Count];
            Fill(values, spec.Initial, new CounterRandom(seed).Split(NameHash(spec.Name)));
            parameter.Value.CopyFrom(values);
        }
    }

    private static void Fill(float[] values, Initialisation initial, CounterRandom random)
    {
        if (initial.Deviation == 0)
        {
            Array.Fill(values, initial.Mean);
            return;
        }

        WorkerPool.Shared.For((values.Length + ChunkFloats - 1) / ChunkFloats, chunk =>
        {
            int start = chunk * ChunkFloats, end = Math.Min(start + ChunkFloats, values.Length);
            for (int i = start; i < end; i++) values[i] = initial.Mean + (initial.Deviation * random.Normal(i));
        });
    }

    /// <summary>FNV-1a, 64 bits: the same on every machine and in every process, unlike string.GetHashCode.</summary>
    private static ulong NameHash(string name)
    {
        ulong hash = 0xCBF29CE484222325;
        foreach (char letter in name) hash = (hash ^ letter) * 0x100000001B3;
        return hash;
    }
}
