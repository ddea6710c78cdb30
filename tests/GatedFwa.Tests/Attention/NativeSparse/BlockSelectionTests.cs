using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention.NativeSparse;

/// <summary>The choice of blocks: nothing is chosen over something better.</summary>
public abstract class BlockSelectionSuite(TestBackend backend) : TensorTest(backend)
{
    /// <summary>What rounding may put before what it is not: relative, on sums of probabilities.</summary>
    private double Slack => Backend.Forward(1e-5);

    [Theory]
    [InlineData(1, 300, 300, 4, 2, 8, 16)]
    [InlineData(2, 75, 75, 3, 16, 2, 32)]
    [InlineData(1, 40, 400, 5, 7, 6, 24)] // After a prefix.
    [InlineData(1, 700, 700, 16, 4, 2, 8)] // More than a tile of means.
    [InlineData(1, 90, 90, 20, 1, 80, 8)] // A group of more than a tile of rows.
    [InlineData(1, 90, 90, 2, 4, 4, 8)]
    [InlineData(1, 90, 90, 1, 4, 4, 8)]
    public void Nothing_is_chosen_over_something_better(int batch, int tokens, int positions, int count, int size, int heads, int headSize)
    {
        var shape = new GatedWindowShape(batch, tokens, positions, heads, heads % 2 == 0 && heads < 80 ? 2 : 1, headSize);
        Holds(shape, new NativeSparseOptions { BlockSize = size, BlockCount = count });
    }

    [Fact]
    public void Documents_and_padding_choose_for_themselves()
    {
        var options = new NativeSparseOptions { BlockSize = 4, BlockCount = 5 };
        Holds(new GatedWindowShape(1, 200, 200, 4, 2, 8), options with { Layout = SequenceLayout.Packed([0, 1, 3, 66, 66, 130, 200]) });
        Holds(new GatedWindowShape(3, 100, 100, 4, 2, 8), options with { Layout = SequenceLayout.LeftPadded([0, 33, 100]) });
    }

    [Fact]
    public void Of_equals_the_lower_number_wins()
    {
        // No key differs from another.
        var shape = new GatedWindowShape(1, 100, 100, 2, 1, 8);
        NativeSparseProblem problem = NativeSparseProblem.Check(shape, new NativeSparseOptions { BlockSize = 10, BlockCount = 5 });
        int[] indices = Select(problem, Samples.Normal(shape.QueryCount, 1), new float[problem.PooledShape.Count], out _);
        Assert.Equal([0, 1, 2, 8, 9], indices[^5..]);
        Assert.Equal([0, 1, 2, 4, 5], indices[(55 * 5)..(56 * 5)]);
    }

    private static int[] Ranked(int own, int count) => [.. new[] { own, own - 1, 0 }.Where(block => block >= 0).Distinct().Take(count)];

    private void Holds(GatedWindowShape shape, NativeSparseOptions options)
    {
        NativeSparseProblem problem = NativeSparseProblem.Check(shape, options);
        float[] q = Backend.Round(Samples.Normal(shape.QueryCount, 1));
        float[] pooledK = Backend.Round(Samples.Normal(problem.PooledShape.Count, 2));
        int[] indices = Select(problem, q, pooledK, out double[] lse);
        int queries = 0;
        foreach (var group in SparseQuery.All(problem).GroupBy(query => BlockSelectionReference.IndicesRow(problem, query)))
        {
            SparseQuery query = group.First();
            int own = query.Blocks.Own(query.Token);
            int[] row = indices[group.Key..(group.Key + problem.BlockCount)], chosen = [.. row.Where(block => block >= 0)];
            Assert.Equal(Math.Min(problem.BlockCount, own + 1), chosen.Length);
            Assert.Equal([.. chosen.Distinct().Order()], row[..chosen.Length]);
            Assert.Subset(chosen.ToHashSet(), Ranked(own, problem.BlockCount).ToHashSet());
            double[] importance = BlockSelectionReference.Importance(problem, [.. group], Samples.Widen(q), Samples.Widen(pooledK), lse);
            double worst = chosen.Min(block => importance[block]);
            Assert.All(Enumerable.Range(0, own + 1).Except(chosen), block => Assert.True(importance[block] <= worst * (1 + Slack)));
            queries++;
        }

        // The rest is padding.
        int[][] padding = [.. indices.Chunk(problem.BlockCount).Where(row => row[0] < 0)];
        Assert.Equal((indices.Length / problem.BlockCount) - queries, padding.Length);
        Assert.All(padding, row => Assert.All(row, block => Assert.Equal(-1, block)));
    }

    private int[] Select(NativeSparseProblem problem, float[] q, float[] pooledK, out double[] lse)
    {
        GatedWindowShape shape = problem.Shape;
        using var tape = new Tape(recording: false);
        Tensor queries = tape.Own(Backend.Activation(q, [shape.Batch, shape.Tokens, shape.Heads, shape.HeadSize]));
        Tensor means = tape.Own(Backend.Activation(pooledK, problem.PooledShape));
        (_, lse) = CompressedAttentionReference.Forward(problem, Samples.Widen(q), Samples.Widen(pooledK), new double[pooledK.Length]);
        Tensor sums = tape.Own(Backend.Parameter([.. lse.Select(x => (float)x)], problem.LseShape));
        return BlockSelection.Apply(tape, problem, queries, means, sums).ToIntegers();
    }
}

public sealed class BlockSelectionTests() : BlockSelectionSuite(TestBackend.Cpu);

public sealed class BlockSelectionCudaTests() : BlockSelectionSuite(TestBackend.CudaFloat32);

public sealed class BlockSelectionCudaBFloat16Tests() : BlockSelectionSuite(TestBackend.CudaBFloat16);
