using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention;

/// <summary>
/// Walks a ring from the newest key to the oldest in blocks of 256 with an online softmax: decays only lower the scores on the way,
/// so the running maximum seldom changes, and scratch does not grow with the window.
/// </summary>
internal static unsafe class RingDecodeCpu
{
    // Keys and values are streams of memory that begin anew with every block: long enough to be worth beginning (docs/log.md).
    private const int BlockKeys = 256;

    /// <summary>Query heads of a group that share one reading of their keys; the rest of a large group is another thread's work.</summary>
    private const int HeadsPerItem = 4;

    /// <summary>Below this many floats of keys a hand-over costs more than it saves.</summary>
    private const long WorthSharingFloats = 16 * 1024;

    private const float Log2E = (float)Units.Log2E;

    public static void Forward(Tensor q, KeyValueRing ring, float scale, Tensor o)
    {
        int batch = q.Shape[0], heads = q.Shape[2], keyHeads = ring.Keys.Heads, group = heads / keyHeads;
        int slices = (group + HeadsPerItem - 1) / HeadsPerItem, items = batch * keyHeads * slices;

        void Work(int item)
        {
            (int rest, int slice) = Math.DivRem(item, slices);
            (int row, int keyHead) = Math.DivRem(rest, keyHeads);
            int first = (keyHead * group) + (slice * HeadsPerItem), count = Math.Min(HeadsPerItem, group - (slice * HeadsPerItem));
            var work = new Slice(ring, row, keyHead, first, count, scale * Log2E, q.Floats, o.Floats, heads);
            // A head size of 8, 24, 40, … fills no 16 lanes.
            if (Simd.Width == 16 && ring.Keys.Size % 16 == 0) Attend<Vector512<float>, Simd512>(work);
            else if (Simd.Width >= 8) Attend<Vector256<float>, Simd256>(work);
            else Attend<Vector128<float>, Simd128>(work);
        }

        bool isWorthSharing = (long)ring.Count * ring.Keys.Size * batch * heads >= WorthSharingFloats;
        if (isWorthSharing) WorkerPool.Shared.For(items, Work);
        else for (int item = 0; item < items; item++) Work(item);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Attend<V, S>(Slice slice)
        where V : struct
        where S : struct, ISimd<V>
    {
        int size = slice.Size;
        float* weights = stackalloc float[BlockKeys];
        float* highest = stackalloc float[HeadsPerItem];
        float* sum = stackalloc float[HeadsPerItem];
        double* decay = stackalloc double[HeadsPerItem];
        for (int h = 0; h < slice.Count; h++)
        {
            (highest[h], sum[h], decay[h]) = (float.NegativeInfinity, 0, 0);
            new Span<float>(slice.O + (h * size), size).Clear();
        }

        for (int remaining = slice.Positions, end = slice.Next; remaining > 0;)
        {
            if (end == 0) end = slice.Capacity;
            int keys = Math.Min(BlockKeys, Math.Min(end, remaining)), start = end - keys;
            for (int h = 0; h < slice.Count; h++)
            {
                Scores<V, S>(slice.Q + (h * size), slice.Keys + ((long)start * size), size, keys, slice.ScaleLog2, weights);
                float* alpha = slice.Alpha(h);
                if (alpha != null) decay[h] = Decay(alpha + start, keys, decay[h], weights);
                // The lanes past the last key weigh nothing.
                for (int j = keys; j % S.Width != 0; j++) weights[j] = float.NegativeInfinity;
                float blockHighest = Highest<V, S>(weights, keys), rescale = 1;
                if (blockHighest > highest[h])
                {
                    rescale = float.Exp2(highest[h] - blockHighest);
                    highest[h] = blockHighest;
                }

                sum[h] = (sum[h] * rescale) + Exponentials<V, S>(weights, keys, highest[h]);
                AddValues<V, S>(weights, slice.Values + ((long)start * size), size, keys, rescale, slice.O + (h * size));
            }

            (end, remaining) = (start, remaining - keys);
        }

        for (int h = 0; h < slice.Count; h++)
        {
            V inverse = S.Create(1 / sum[h]);
            float* o = slice.O + (h * size);
            for (int d = 0; d < size; d += S.Width) S.Store(S.Multiply(S.Load(o + d), inverse), o + d);
        }
    }

    /// <summary>scores[j] = scale · q·k_j.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scores<V, S>(float* q, float* k, int size, int keys, float scale, float* scores)
        where V : struct
        where S : struct, ISimd<V>
    {
        int j = 0;
        for (; j + 4 <= keys; j += 4, k += 4 * size)
        {
            V a = S.Zero, b = S.Zero, c = S.Zero, d = S.Zero;
            for (int i = 0; i < size; i += S.Width)
            {
                V x = S.Load(q + i);
                a = S.MultiplyAdd(x, S.Load(k + i), a);
                b = S.MultiplyAdd(x, S.Load(k + size + i), b);
                c = S.MultiplyAdd(x, S.Load(k + (2 * size) + i), c);
                d = S.MultiplyAdd(x, S.Load(k + (3 * size) + i), d);
            }

            (S.SumEach(a, b, c, d) * scale).Store(scores + j);
        }

        for (; j < keys; j++, k += size)
        {
            V a = S.Zero;
            for (int i = 0; i < size; i += S.Width) a = S.MultiplyAdd(S.Load(q + i), S.Load(k + i), a);
            scores[j] = S.Sum(a) * scale;
        }
    }

    /// <summary>scores[j] −= the decays after j, added up in double from the newest key to the oldest.</summary>
    /// <returns>The sum with this block's decays, for the next block.</returns>
    private static double Decay(float* alpha, int keys, double sum, float* scores)
    {
        for (int j = keys - 1; j >= 0; j--)
        {
            scores[j] -= (float)(sum * Log2E);
            sum += alpha[j];
        }

        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Highest<V, S>(float* scores, int keys)
        where V : struct
        where S : struct, ISimd<V>
    {
        V highest = S.Load(scores);
        for (int j = S.Width; j < keys; j += S.Width) highest = S.Max(highest, S.Load(scores + j));
        return S.MaxAcross(highest);
    }

    /// <summary>weights[j] = 2^(weights[j] − highest).</summary>
    /// <returns>Their sum.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Exponentials<V, S>(float* weights, int keys, float highest)
        where V : struct
        where S : struct, ISimd<V>
    {
        V sum = S.Zero;
        for (int j = 0; j < keys; j += S.Width)
        {
            V weight = S.Exp2(S.Subtract(S.Load(weights + j), S.Create(highest)));
            S.Store(weight, weights + j);
            sum = S.Add(sum, weight);
        }

        return S.Sum(sum);
    }

    /// <summary>o = rescale · o + Σ weights[j] v_j.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddValues<V, S>(float* weights, float* v, int size, int keys, float rescale, float* o)
        where V : struct
        where S : struct, ISimd<V>
    {
        int d = 0;
        for (; d + (4 * S.Width) <= size; d += 4 * S.Width)
        {
            // From zero, and o joins at the end: a sum over a long text is then one of blocks, whose rounding errors are few.
            V a = S.Zero, b = S.Zero, c = S.Zero, e = S.Zero;
            float* value = v + d;
            for (int j = 0; j < keys; j++, value += size)
            {
                V weight = S.Create(weights[j]);
                a = S.MultiplyAdd(weight, S.Load(value), a);
                b = S.MultiplyAdd(weight, S.Load(value + S.Width), b);
                c = S.MultiplyAdd(weight, S.Load(value + (2 * S.Width)), c);
                e = S.MultiplyAdd(weight, S.Load(value + (3 * S.Width)), e);
            }

            V factor = S.Create(rescale);
            S.Store(S.MultiplyAdd(factor, S.Load(o + d), a), o + d);
            S.Store(S.MultiplyAdd(factor, S.Load(o + d + S.Width), b), o + d + S.Width);
            S.Store(S.MultiplyAdd(factor, S.Load(o + d + (2 * S.Width)), c), o + d + (2 * S.Width));
            S.Store(S.MultiplyAdd(factor, S.Load(o + d + (3 * S.Width)), e), o + d + (3 * S.Width));
        }

        for (; d < size; d += S.Width)
        {
            V a = S.Zero;
            float* value = v + d;
            for (int j = 0; j < keys; j++, value += size) a = S.MultiplyAdd(S.Create(weights[j]), S.Load(value), a);
            S.Store(S.MultiplyAdd(S.Create(rescale), S.Load(o + d), a), o + d);
        }
    }

    /// <summary>A few query heads over the key head they share.</summary>
    private readonly struct Slice(
        KeyValueRing ring, int row, int keyHead, int firstHead, int count, float scaleLog2, float* q, float* o, int heads)
    {
        public readonly int Count = count;
        public readonly int Size = ring.Keys.Size;
        public readonly int Capacity = ring.Keys.Capacity;
        public readonly int Positions = ring.Cursors[row].Count;
        public readonly int Next = ring.Cursors[row].Next;
        public readonly float ScaleLog2 = scaleLog2;
        public readonly float* Keys = ring.Keys.Head(row, keyHead);
        public readonly float* Values = ring.Values.Head(row, keyHead);
        public readonly float* Q = q + ((((long)row * heads) + firstHead) * ring.Keys.Size);
        public readonly float* O = o + ((((long)row * heads) + firstHead) * ring.Keys.Size);
        private readonly float* _alpha = ring.Alpha is null ? null : ring.Alpha.Head(row, firstHead);

        /// <summary>The decays of one of the heads, by slot; null without a gate.</summary>
        public float* Alpha(int head) => _alpha == null ? null : _alpha + ((long)head * Capacity);
    }
}
