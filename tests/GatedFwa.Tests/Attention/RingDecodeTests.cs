using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

public sealed class RingDecodeTests() : RingDecodeSuite(TestBackend.Cpu)
{
    [Fact]
    public void Any_number_of_threads_gives_the_same_bits()
    {
        Text text = RandomText(2, 300, 8, 2, 64);
        float[] Last(int threads)
        {
            int before = WorkerPool.Shared.Threads;
            WorkerPool.Shared.Threads = threads;
            try
            {
                using KeyValueRing ring = NewRing(2, 8, 2, 64, 256, gated: true);
                using var tape = new Tape(recording: false);
                (_, Tensor k, Tensor v, Tensor alpha) = text.Tokens(tape, 0, text.Length - 1);
                ring.Append(k, v, alpha);
                return Step(ring, text, text.Length - 1, true);
            }
            finally
            {
                WorkerPool.Shared.Threads = before;
            }
        }

        float[] one = Last(1);
        Assert.Equal(one, Last(2));
        Assert.Equal(one, Last(3));
    }

    [Fact]
    public void The_millionth_token_is_as_exact_as_the_first_and_the_ring_has_not_grown()
    {
        const int Window = 48, Tokens = 1_000_000;
        Text text = RandomText(1, 512, 2, 1, 8);
        using KeyValueRing ring = NewRing(1, 2, 1, 8, Window, gated: true);
        using var tape = new Tape(recording: false);
        (_, Tensor k, Tensor v, Tensor alpha) = text.Tokens(tape, 0, text.Length);
        for (int fed = 0; fed < Tokens; fed += text.Length) ring.Append(k, v, alpha);
        long bytes = ring.Bytes;
        for (int position = 0; position < text.Length; position++)
        {
            float[] o = Step(ring, text, position, true);
            if (position >= Window) Assert.InRange(ErrorNorm.Relative(o, text.Expected(position, Window, true)), 0, Backend.Forward(3e-6));
        }

        Assert.Equal(bytes, ring.Bytes);
    }

    [Fact]
    public void A_ring_of_impossible_extents_is_refused()
    {
        Assert.Throws<OperandException>(() => new KeyValueRing(1, 4, 2, 16, window: 0, gated: true));
        Assert.Throws<OperandException>(() => new KeyValueRing(1, 4, 3, 16, window: 8, gated: true));
        Assert.Throws<OperandException>(() => new KeyValueRing(1, 4, 0, 16, window: 8, gated: true));
        Assert.Throws<OperandException>(() => new KeyValueRing(0, 4, 2, 16, window: 8, gated: true));
        Assert.Throws<OperandException>(() => new KeyValueRing(1, 4, 2, 16, window: 8, gated: true, Device.Cpu, DType.BF16));
    }
}

public sealed class RingDecodeCudaTests() : RingDecodeSuite(TestBackend.CudaFloat32);

public sealed class RingDecodeCudaBFloat16Tests() : RingDecodeSuite(TestBackend.CudaBFloat16);

public sealed class RingDecodeCudaFloat16Tests() : RingDecodeSuite(TestBackend.CudaFloat16);

public abstract class RingDecodeSuite(TestBackend backend) : TensorTest(backend)
{
    /// <summary>Queries, keys, values and decays of a whole text, token by token, as the backend holds them.</summary>
    private protected sealed record Text(
        TestBackend Backend, int Batch, int Length, int Heads, int KeyHeads, int Size, float[] Q, float[] K, float[] V, float[] Alpha)
    {
        /// <summary>One row of the batch.</summary>
        public Text Row(int row) => Part(row, 0, Length);

        /// <summary>The only row from a position on.</summary>
        public Text From(int first) => Part(0, first, Length - first);

        /// <summary>Single rows, as far as all of them go, as a batch.</summary>
        public static Text Join(params Text[] rows)
        {
            int length = rows.Min(row => row.Length);
            Text[] parts = [.. rows.Select(row => row.Part(0, 0, length))];
            float[] All(Func<Text, float[]> values) => [.. parts.SelectMany(values)];
            return parts[0] with
            {
                Batch = rows.Length,
                Q = All(part => part.Q),
                K = All(part => part.K),
                V = All(part => part.V),
                Alpha = All(part => part.Alpha),
            };
        }

        private Text Part(int row, int first, int length)
        {
            int start = (row * Length) + first;
            float[] Of(float[] values, int width) => values[(start * width)..((start + length) * width)];
            return this with
            {
                Batch = 1,
                Length = length,
                Q = Of(Q, Heads * Size),
                K = Of(K, KeyHeads * Size),
                V = Of(V, KeyHeads * Size),
                Alpha = Of(Alpha, Heads),
            };
        }

        public (Tensor Q, Tensor K, Tensor V, Tensor Alpha) Tokens(Tape tape, int first, int count)
        {
            float[] Slice(float[] values, int width)
            {
                var part = new float[Batch * count * width];
                for (int row = 0; row < Batch; row++)
                    values.AsSpan(((row * Length) + first) * width, count * width).CopyTo(part.AsSpan(row * count * width));
                return part;
            }

            Tensor Vectors(float[] values, int heads) => tape.Own(Backend.Activation(Slice(values, heads * Size), [Batch, count, heads, Size]));
            return (Vectors(Q, Heads), Vectors(K, KeyHeads), Vectors(V, KeyHeads), tape.Own(Backend.Parameter(Slice(Alpha, Heads), [Batch, count, Heads])));
        }

        /// <summary>[B, H, D]: what the token at a position attends to.</summary>
        public double[] Expected(int position, int? window, bool gated)
        {
            int first = Math.Max(0, position + 1 - (window ?? Length));
            double[] Part(float[] values, int row, int from, int width) =>
                Samples.Widen(values.AsSpan(((row * Length) + from) * width, (position + 1 - from) * width));
            return [.. Enumerable.Range(0, Batch).SelectMany(row => RingDecodeReference.Forward(
                Part(Q, row, position, Heads * Size), Part(K, row, first, KeyHeads * Size), Part(V, row, first, KeyHeads * Size),
                gated ? Part(Alpha, row, first, Heads) : null, Heads, KeyHeads, 1 / Math.Sqrt(Size)))];
        }
    }

    private protected static float[] Step(KeyValueRing ring, Text text, int position, bool gated)
    {
        using var tape = new Tape(recording: false);
        (Tensor q, Tensor k, Tensor v, Tensor alpha) = text.Tokens(tape, position, 1);
        ring.Append(k, v, gated ? alpha : null);
        return RingDecode.Apply(tape, q, ring).ToArray();
    }

    private static float[] Append(KeyValueRing ring, Text text, int position, bool gated)
    {
        using var tape = new Tape(recording: false);
        (_, Tensor k, Tensor v, Tensor alpha) = text.Tokens(tape, position, 1);
        ring.Append(k, v, gated ? alpha : null);
        return [];
    }

    private bool IsWorthAttending(int position) => Backend.Device.IsCpu || position < 2 || position % 17 == 0;

    private protected KeyValueRing NewRing(int batch, int heads, int keyHeads, int size, int? window, bool gated) =>
        new(batch, heads, keyHeads, size, window, gated, Backend.Device, Backend.Activations);

    private protected Text RandomText(int batch, int length, int heads, int keyHeads, int size) => new(
        Backend,
        batch,
        length,
        heads,
        keyHeads,
        size,
        Backend.Round(Samples.Normal((long)batch * length * heads * size, 1)),
        Backend.Round(Samples.Normal((long)batch * length * keyHeads * size, 2)),
        Backend.Round(Samples.Normal((long)batch * length * keyHeads * size, 3)),
        Samples.Uniform((long)batch * length * heads, 4, 0, 0.3f));

    [Theory]
    [InlineData(1, 2, 2, 8, 1, true)]
    [InlineData(1, 2, 1, 16, 2, true)]
    [InlineData(2, 4, 2, 40, 16, true)]
    [InlineData(1, 12, 2, 64, 63, true)]
    [InlineData(1, 3, 3, 64, 64, false)]
    [InlineData(2, 2, 2, 96, 65, true)]
    [InlineData(1, 5, 1, 128, 130, true)]
    [InlineData(1, 2, 2, 256, 100, true)]
    [InlineData(1, 4, 4, 32, null, true)]
    [InlineData(2, 4, 1, 24, null, false)]
    public void Follows_the_reference_at_every_position(int batch, int heads, int keyHeads, int size, int? window, bool gated)
    {
        Text text = RandomText(batch, 205, heads, keyHeads, size);
        using KeyValueRing ring = NewRing(batch, heads, keyHeads, size, window, gated);
        for (int position = 0; position < text.Length; position++)
        {
            // An emulated GPU is slow: not every position there.
            float[] o = IsWorthAttending(position) ? Step(ring, text, position, gated) : Append(ring, text, position, gated);
            if (o.Length > 0) Assert.InRange(ErrorNorm.Relative(o, text.Expected(position, window, gated)), 0, Backend.Forward(3e-6));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(50)]
    [InlineData(64)]
    [InlineData(150)]
    public void Appending_in_pieces_is_appending_one_by_one(int piece)
    {
        const int Window = 50;
        Text text = RandomText(2, 151, 4, 2, 16);
        using KeyValueRing ring = NewRing(2, 4, 2, 16, Window, gated: true);
        for (int first = 0; first < 150; first += piece)
        {
            using var tape = new Tape(recording: false);
            (_, Tensor k, Tensor v, Tensor alpha) = text.Tokens(tape, first, Math.Min(piece, 150 - first));
            ring.Append(k, v, alpha);
        }

        Assert.Equal(Window, ring.Count);
        Assert.InRange(ErrorNorm.Relative(Step(ring, text, 150, true), text.Expected(150, Window, true)), 0, Backend.Forward(3e-6));
    }

    [Theory]
    [InlineData(20, 30, 5)]
    [InlineData(20, 7, 40)]
    [InlineData(1, 3, 4)]
    [InlineData(null, 70, 3)]
    public void Extending_gives_the_visible_past_and_the_new_tokens_in_order(int? window, int before, int tokens)
    {
        Text text = RandomText(2, before + tokens, 4, 2, 8);
        using KeyValueRing ring = NewRing(2, 4, 2, 8, window, gated: true);
        for (int position = 0; position < before; position++) Step(ring, text, position, true);

        using var tape = new Tape(recording: false);
        (_, Tensor k, Tensor v, Tensor alpha) = text.Tokens(tape, before, tokens);
        (Tensor keys, Tensor values, Tensor? decays) = ring.Extend(tape, k, v, alpha);
        int past = Math.Min(before, (window ?? int.MaxValue) - 1);
        (_, Tensor expectedK, Tensor expectedV, Tensor expectedAlpha) = text.Tokens(tape, before - past, past + tokens);
        Assert.Equal(expectedK.ToArray(), keys.ToArray());
        Assert.Equal(expectedV.ToArray(), values.ToArray());
        Assert.Equal(expectedAlpha.ToArray(), decays!.ToArray());
        Assert.Equal(Math.Min(before + tokens, window ?? int.MaxValue), ring.Count);
    }

    [Theory]
    [InlineData(4, 2, 16, 50, true)]
    [InlineData(6, 1, 64, 130, true)]
    [InlineData(4, 4, 24, null, true)]
    [InlineData(2, 1, 40, null, false)]
    public void Texts_of_different_lengths_are_attended_to_together(int heads, int keyHeads, int size, int? window, bool gated)
    {
        int[] lengths = [1, 30, 63, 131, 200];
        Text text = RandomText(lengths.Length, 210, heads, keyHeads, size);
        using KeyValueRing ring = NewRing(lengths.Length, heads, keyHeads, size, window, gated);
        using var tape = new Tape(recording: false);
        for (int row = 0; row < lengths.Length; row++)
        {
            if (lengths[row] == 1) continue;
            (_, Tensor k, Tensor v, Tensor alpha) = text.Row(row).Tokens(tape, 0, lengths[row] - 1);
            ring.Text(row).Append(k, v, gated ? alpha : null);
        }

        for (int step = 0; step < 10; step++)
        {
            Text[] newest = [.. lengths.Select((length, row) => text.Row(row).From(length - 1 + step))];
            float[] o = Step(ring, Text.Join(newest), 0, gated);
            double[] expected = [.. lengths.SelectMany((length, row) => text.Row(row).Expected(length - 1 + step, window, gated))];
            ErrorNorm.Require(o, expected, Backend.Forward(3e-6));
            if (step != 4) continue;
            ring.Clear(3); // Another text begins in the place of one.
            lengths[3] = -step;
        }

        int[] all = [10, 39, 72, 5, 209];
        Assert.Equal(all.Select(count => Math.Min(count, window ?? count)), all.Select((_, row) => ring.Text(row).Count));
        Assert.Throws<ArgumentOutOfRangeException>(() => ring.Text(5));
        Assert.Throws<ArgumentOutOfRangeException>(() => ring.Clear(-1));
    }

    [Fact]
    public void Extending_needs_as_much_past_of_each_text_wherever_it_lies()
    {
        const int Window = 20, Tokens = 7;
        Text text = RandomText(2, 60, 4, 2, 8);
        using KeyValueRing ring = NewRing(2, 4, 2, 8, Window, gated: true);
        using var tape = new Tape(recording: false);
        void Feed(int row, int first, int count)
        {
            (_, Tensor k, Tensor v, Tensor alpha) = text.Row(row).Tokens(tape, first, count);
            ring.Text(row).Append(k, v, alpha);
        }

        Feed(0, 0, 33);
        Feed(1, 0, 9);
        (_, Tensor k, Tensor v, Tensor alpha) = Text.Join(text.Row(0).From(33), text.Row(1).From(21)).Tokens(tape, 0, Tokens);
        Assert.Contains("one by one", Assert.Throws<OperandException>(() => ring.Extend(tape, k, v, alpha)).Message);
        Feed(1, 9, 12);
        (Tensor keys, Tensor values, Tensor? decays) = ring.Extend(tape, k, v, alpha);
        (_, Tensor expectedK, Tensor expectedV, Tensor expectedAlpha) =
            Text.Join(text.Row(0).From(33 - Window + 1), text.Row(1).From(21 - Window + 1)).Tokens(tape, 0, Window - 1 + Tokens);
        Assert.Equal(expectedK.ToArray(), keys.ToArray());
        Assert.Equal(expectedV.ToArray(), values.ToArray());
        Assert.Equal(expectedAlpha.ToArray(), decays!.ToArray());
    }

    [Fact]
    public void Gives_the_same_bits_again()
    {
        Text text = RandomText(2, 300, 8, 2, 64);
        float[] Last()
        {
            using KeyValueRing ring = NewRing(2, 8, 2, 64, 256, gated: true);
            using var tape = new Tape(recording: false);
            (_, Tensor k, Tensor v, Tensor alpha) = text.Tokens(tape, 0, text.Length - 1);
            ring.Append(k, v, alpha);
            return Step(ring, text, text.Length - 1, true);
        }

        Assert.Equal(Last(), Last());
    }

    [Fact]
    public void A_clone_goes_its_own_way()
    {
        Text text = RandomText(1, 40, 2, 1, 16);
        using KeyValueRing ring = NewRing(1, 2, 1, 16, 9, gated: true);
        for (int position = 0; position < 30; position++) Step(ring, text, position, true);
        using KeyValueRing clone = ring.Clone();
        for (int position = 30; position < 40; position++) Step(ring, text, position, true);
        ErrorNorm.Require(Step(clone, text, 30, true), text.Expected(30, 9, true), Backend.Forward(1e-5));
    }

    [Fact]
    public void After_clearing_a_text_begins_anew()
    {
        Text text = RandomText(1, 30, 2, 2, 16);
        using KeyValueRing ring = NewRing(1, 2, 2, 16, 8, gated: true);
        float[] first = Step(ring, text, 0, true);
        for (int position = 1; position < 30; position++) Step(ring, text, position, true);
        ring.Clear();
        Assert.Equal(first, Step(ring, text, 0, true));
    }

    [Theory]
    [InlineData(8)]
    [InlineData(64)]
    public void A_query_that_weighs_a_long_text_evenly_is_as_exact_as_any(int size)
    {
        int tokens = Backend.Device.IsCpu ? 200_000 : 30_000; // An emulated GPU is slow.
        float[] q = Backend.Round([.. Samples.Normal(size, 1).Select(x => x * 0.1f)]);
        float[] k = Backend.Round(Samples.Normal((long)tokens * size, 2)), v = Backend.Round(Samples.Normal((long)tokens * size, 3));
        using KeyValueRing ring = NewRing(1, 1, 1, size, window: null, gated: false);
        using var tape = new Tape(recording: false);
        ring.Append(tape.Own(Backend.Activation(k, [1, tokens, 1, size])), tape.Own(Backend.Activation(v, [1, tokens, 1, size])), null);
        float[] o = RingDecode.Apply(tape, tape.Own(Backend.Activation(q, [1, 1, 1, size])), ring).ToArray();
        double scale = 1 / Math.Sqrt(size);
        double[] expected = RingDecodeReference.Forward(Samples.Widen(q), Samples.Widen(k), Samples.Widen(v), null, 1, 1, scale);
        Assert.InRange(ErrorNorm.Relative(o, expected), 0, Backend.Forward(3e-6));
    }

    [Theory]
    [InlineData(1e9f)]
    [InlineData(float.PositiveInfinity)]
    public void A_decay_that_cuts_the_past_off_leaves_what_follows_exact(float cut)
    {
        Text random = RandomText(1, 140, 2, 1, 16);
        Text text = random with { Alpha = [.. random.Alpha.Select((alpha, i) => i % 37 == 5 ? cut : alpha)] };
        using KeyValueRing ring = NewRing(1, 2, 1, 16, 100, gated: true);
        for (int position = 0; position < text.Length; position++)
        {
            float[] o = IsWorthAttending(position) ? Step(ring, text, position, true) : Append(ring, text, position, true);
            if (o.Length > 0) Assert.InRange(ErrorNorm.Relative(o, text.Expected(position, 100, true)), 0, Backend.Forward(3e-6));
        }
    }

    [Fact]
    public void Refuses_what_it_cannot_attend_to()
    {
        using KeyValueRing ring = NewRing(1, 4, 2, 16, 8, gated: true);
        using var tape = new Tape();
        Tensor q = tape.Own(Backend.Activation(new float[64], [1, 1, 4, 16])), k = tape.Own(Backend.Activation(new float[32], [1, 1, 2, 16]));
        Tensor alpha = tape.Own(Backend.Parameter(new float[4], [1, 1, 4]));
        Assert.Contains("an empty one", Assert.Throws<OperandException>(() => RingDecode.Apply(tape, q, ring)).Message);
        Assert.Throws<OperandException>(() => ring.Append(k, k, null));
        Assert.Throws<OperandException>(() => ring.Append(q, k, alpha));
        ring.Append(k, k, alpha);
        Assert.Throws<OperandException>(() => RingDecode.Apply(tape, k, ring));
        Assert.Throws<OperandException>(() => RingDecode.Apply(tape, tape.Watch(q), ring));
    }
}
