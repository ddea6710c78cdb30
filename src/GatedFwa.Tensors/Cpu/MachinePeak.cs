using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Tensors.Cpu;

/// <summary>
/// What this machine can do at this moment, measured: the two limits that every kernel is held against. A shared machine
/// changes from one second to the next, so measure right beside what you compare.
/// </summary>
public static unsafe class MachinePeak
{
    private const int Chains = 12;
    private const int RoundsAnItem = 2500; // Some 10 µs: short enough that an interrupted thread holds nobody up.
    private const int ReadBytes = 256 << 20; // Several times the largest last-level cache a core can claim.
    private const int ReadItemBytes = 1 << 20;

    /// <summary>Single-precision fused multiply-adds in registers, two operations each.</summary>
    /// <param name="threads">How many threads compute at once.</param>
    /// <param name="milliseconds">About how long to measure.</param>
    /// <returns>10⁹ operations a second, all threads together.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is less than one thread.</exception>
    public static double FmaGigaflops(int threads, double milliseconds = 8) => Simd.Width switch
    {
        16 => FmaGigaflops<Vector512<float>, Simd512>(threads, milliseconds),
        8 => FmaGigaflops<Vector256<float>, Simd256>(threads, milliseconds),
        _ => FmaGigaflops<Vector128<float>, Simd128>(threads, milliseconds),
    };

    /// <summary>Reading memory from one end to the other, far beyond any cache.</summary>
    /// <param name="threads">How many threads read at once.</param>
    /// <returns>10⁹ bytes a second, all threads together: the best of three passes.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is less than one thread.</exception>
    public static double ReadGigabytesPerSecond(int threads) => Simd.Width switch
    {
        16 => ReadGigabytesPerSecond<Vector512<float>, Simd512>(threads),
        8 => ReadGigabytesPerSecond<Vector256<float>, Simd256>(threads),
        _ => ReadGigabytesPerSecond<Vector128<float>, Simd128>(threads),
    };

    private static double FmaGigaflops<V, S>(int threads, double milliseconds)
        where V : struct
        where S : struct, ISimd<V>
    {
        var sums = new float[1];
        double itemFlops = 2.0 * Chains * S.Width * RoundsAnItem;
        double Measure(int items)
        {
            long start = Stopwatch.GetTimestamp();
            OnThreads(threads, items, _ => Volatile.Write(ref sums[0], Multiply<V, S>(RoundsAnItem)));
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        // A first short run wakes the workers and the clock and says how many items fill the time.
        int probe = 16 * threads;
        double probeSeconds = Measure(probe);
        int items = Math.Clamp((int)(probe * milliseconds / 1000 / probeSeconds), probe, 1 << 20);
        return items * itemFlops / Measure(items) / 1e9;
    }

    private static double ReadGigabytesPerSecond<V, S>(int threads)
        where V : struct
        where S : struct, ISimd<V>
    {
        using CpuStorage memory = CpuMemory.Rent(ReadBytes / sizeof(float));
        byte* start = memory.Pointer;
        const int items = ReadBytes / ReadItemBytes;
        OnThreads(threads, items, item => new Span<byte>(start + ((long)item * ReadItemBytes), ReadItemBytes).Clear());
        var sums = new float[items];
        double best = double.PositiveInfinity;
        for (int pass = 0; pass < 3; pass++)
        {
            long begun = Stopwatch.GetTimestamp();
            OnThreads(
                threads,
                items,
                item => sums[item] = Sum<V, S>((float*)(start + ((long)item * ReadItemBytes)), ReadItemBytes / sizeof(float)));
            best = Math.Min(best, Stopwatch.GetElapsedTime(begun).TotalSeconds);
        }

        return ReadBytes / best / 1e9;
    }

    private static void OnThreads(int threads, int items, Action<int> body)
    {
        int before = WorkerPool.Shared.Threads;
        WorkerPool.Shared.Threads = threads;
        try
        {
            WorkerPool.Shared.For(items, body);
        }
        finally
        {
            WorkerPool.Shared.Threads = before;
        }
    }

    /// <summary>
    /// Twelve independent chains hide the latency of every processor so far (two units × four or five cycles) and fit sixteen
    /// registers.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Multiply<V, S>(int rounds)
        where V : struct
        where S : struct, ISimd<V>
    {
        V factor = S.Create(0.999f), term = S.Create(0.001f);
        V a = S.Iota, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a;
        for (int round = 0; round < rounds; round++)
        {
            a = S.MultiplyAdd(a, factor, term);
            b = S.MultiplyAdd(b, factor, term);
            c = S.MultiplyAdd(c, factor, term);
            d = S.MultiplyAdd(d, factor, term);
            e = S.MultiplyAdd(e, factor, term);
            f = S.MultiplyAdd(f, factor, term);
            g = S.MultiplyAdd(g, factor, term);
            h = S.MultiplyAdd(h, factor, term);
            i = S.MultiplyAdd(i, factor, term);
            j = S.MultiplyAdd(j, factor, term);
            k = S.MultiplyAdd(k, factor, term);
            l = S.MultiplyAdd(l, factor, term);
        }

        V left = S.Add(S.Add(S.Add(a, b), S.Add(c, d)), S.Add(e, f));
        V right = S.Add(S.Add(S.Add(g, h), S.Add(i, j)), S.Add(k, l));
        return S.Sum(S.Add(left, right));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Sum<V, S>(float* source, int count)
        where V : struct
        where S : struct, ISimd<V>
    {
        V a = S.Zero, b = a, c = a, d = a;
        int step = 4 * S.Width;
        for (float* end = source + count; source < end; source += step)
        {
            a = S.Add(a, S.Load(source));
            b = S.Add(b, S.Load(source + S.Width));
            c = S.Add(c, S.Load(source + (2 * S.Width)));
            d = S.Add(d, S.Load(source + (3 * S.Width)));
        }

        return S.Sum(S.Add(S.Add(a, b), S.Add(c, d)));
    }
}
