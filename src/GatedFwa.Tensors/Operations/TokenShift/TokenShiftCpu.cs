using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Tensors.Operations;

internal static unsafe class TokenShiftCpu
{
    public static void Forward(Tensor x, Tensor mix, Segment[] segments, Tensor? previous, Tensor y)
    {
        using CpuStorage gates = Gates(mix);
        Piece[] pieces = Cut(segments, x.Shape);
        fixed (Piece* first = pieces)
        {
            var rows = new Rows(x.Floats, gates.Floats, previous is null ? null : previous.Floats, x.Shape);
            RowKernel.Run(new ForwardKernel(first, rows, y.Floats), pieces.Length, 1);
        }
    }

    /// <summary>Adds to both gradients, or stores that of x; either may be absent.</summary>
    public static void Backward(
        Tensor x, Tensor mix, Segment[] segments, Tensor? previous, Tensor dy, Tensor? dx, bool storeDx, Tensor? dmix)
    {
        using CpuStorage gates = Gates(mix);
        Piece[] pieces = Cut(segments, x.Shape);
        fixed (Piece* first = pieces)
        {
            var rows = new Rows(x.Floats, gates.Floats, previous is null ? null : previous.Floats, x.Shape);
            RowKernel.Run(
                new BackwardKernel(first, rows, dy.Floats, dx is null ? null : dx.Floats, storeDx, dmix is null ? null : dmix.Floats),
                pieces.Length,
                1);
        }
    }

    /// <summary>σ(mix), one a row: small beside x.</summary>
    private static CpuStorage Gates(Tensor mix)
    {
        CpuStorage gates = CpuMemory.Rent(mix.Count);
        RowKernel.Run(new SigmoidKernel(mix.Floats, gates.Floats), mix.Count);
        return gates;
    }

    private static Piece[] Cut(Segment[] segments, Shape shape)
    {
        int tokens = (int)RowKernel.RowsPerBlock((long)shape[2] * shape[3]);
        var pieces = new List<Piece>();
        foreach (Segment segment in segments)
        {
            for (int t = segment.Start; t < segment.End; t += tokens) pieces.Add(new(segment, t, Math.Min(segment.End, t + tokens)));
        }

        return [.. pieces];
    }

    /// <summary>Positions <paramref name="From"/> … <paramref name="To"/> − 1 of a segment.</summary>
    private readonly record struct Piece(Segment Segment, int From, int To);

    /// <summary>The operands by row: a row is one head of one token.</summary>
    private readonly struct Rows(float* x, float* gates, float* previous, Shape shape)
    {
        public readonly float* X = x, Gates = gates;
        public readonly int Tokens = shape[1], Heads = shape[2], Size = shape[3];

        public long Index(Segment segment, int t, int head) => ((((long)segment.Batch * Tokens) + t) * Heads) + head;

        /// <summary>The same head one token earlier; null for 0.</summary>
        public float* Before(Segment segment, int t, int head)
        {
            if (t > segment.Start) return X + (Index(segment, t - 1, head) * Size);
            return previous == null ? null : previous + ((((long)segment.Batch * Heads) + head) * Size);
        }
    }

    private readonly struct SigmoidKernel(float* x, float* y) : IRowKernel
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long i = first; i < last; i += S.Width)
            {
                int lanes = (int)Math.Min(S.Width, last - i);
                S.Store(SimdMath<V, S>.Sigmoid(S.Load(x + i, lanes)), y + i, lanes);
            }
        }
    }

    private readonly struct ForwardKernel(Piece* pieces, Rows rows, float* y) : IRowKernel
    {
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            for (long i = first; i < last; i++)
            {
                (Segment segment, int from, int to) = pieces[i];
                for (int t = from; t < to; t++)
                {
                    for (int head = 0; head < rows.Heads; head++)
                    {
                        long row = rows.Index(segment, t, head);
                        Mix<V, S>(
                            rows.X + (row * rows.Size), rows.Before(segment, t, head), rows.Gates[row], y + (row * rows.Size), rows.Size);
                    }
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Mix<V, S>(float* x, float* before, float gate, float* y, int size)
            where V : struct
            where S : struct, ISimd<V>
        {
            V gates = S.Create(gate), rest = S.Create(1 - gate);
            for (int d = 0; d < size; d += S.Width)
            {
                int lanes = Math.Min(S.Width, size - d);
                V share = S.Multiply(S.Load(x + d, lanes), gates);
                S.Store(before == null ? share : S.MultiplyAdd(S.Load(before + d, lanes), rest, share), y + d, lanes);
            }
        }
    }

    private readonly struct BackwardKernel(Piece* pieces, Rows rows, float* dy, float* dx, bool storeDx, float* dmix) : IRowKernel
    {
        public void Run<V, S>(long first, long last)
            where V : struct
            where S : struct, ISimd<V>
        {
            int size = rows.Size;
            for (long i = first; i < last; i++)
            {
                (Segment segment, int from, int to) = pieces[i];
                for (int t = from; t < to; t++)
                {
                    bool hasNext = t + 1 < segment.End;
                    for (int head = 0; head < rows.Heads; head++)
                    {
                        long row = rows.Index(segment, t, head), next = row + rows.Heads;
                        float gate = rows.Gates[row];
                        float* upstream = dy + (row * size), nextUpstream = hasNext ? dy + (next * size) : null;
                        if (dx != null) Share<V, S>(upstream, gate, nextUpstream, hasNext ? 1 - rows.Gates[next] : 0, dx + (row * size));
                        if (dmix != null)
                            dmix[row] += gate * (1 - gate) * Slope<V, S>(upstream, rows.X + (row * size), rows.Before(segment, t, head), size);
                    }
                }
            }
        }

        /// <summary>Σ dy (x − before).</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static float Slope<V, S>(float* dy, float* x, float* before, int size)
            where V : struct
            where S : struct, ISimd<V>
        {
            V sum = S.Zero;
            for (int d = 0; d < size; d += S.Width)
            {
                int lanes = Math.Min(S.Width, size - d);
                V difference = S.Load(x + d, lanes);
                if (before != null) difference = S.Subtract(difference, S.Load(before + d, lanes));
                sum = S.MultiplyAdd(S.Load(dy + d, lanes), difference, sum);
            }

            return S.Sum(sum);
        }

        /// <summary>dx (+)= gate · dy + rest · dy of the next token.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Share<V, S>(float* upstream, float gate, float* nextUpstream, float rest, float* target)
            where V : struct
            where S : struct, ISimd<V>
        {
            V gates = S.Create(gate), rests = S.Create(rest);
            for (int d = 0; d < rows.Size; d += S.Width)
            {
                int lanes = Math.Min(S.Width, rows.Size - d);
                V sum = S.MultiplyAdd(S.Load(upstream + d, lanes), gates, storeDx ? S.Zero : S.Load(target + d, lanes));
                if (nextUpstream != null) sum = S.MultiplyAdd(S.Load(nextUpstream + d, lanes), rests, sum);
                S.Store(sum, target + d, lanes);
            }
        }
    }
}
