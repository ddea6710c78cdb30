using GatedFwa.Attention;
using GatedFwa.Tensors;

namespace GatedFwa.Tests.Attention;

/// <summary>What is uploaded about segments.</summary>
public sealed class CudaSegmentsTests
{
    [Fact]
    public void Positions_know_where_their_segment_starts_and_padding_where_the_next_does()
    {
        GatedWindowProblem problem = Problem(2, 4, SequenceLayout.LeftPadded([0, 3]));
        Assert.Equal([0, 0, 0, 0, 3, 3, 3, 3], CudaSegments.PositionStarts(problem));
        Assert.Equal([0, 0, 2, 2, 2], CudaSegments.PositionStarts(Problem(1, 5, SequenceLayout.Packed([0, 2, 2, 5]))));
        Assert.Equal([2, 2], CudaSegments.PositionStarts(Problem(1, 2, SequenceLayout.LeftPadded([2]))));
    }

    [Fact]
    public void No_tile_mixes_segments()
    {
        GatedWindowProblem problem = Problem(1, 200, SequenceLayout.Packed([0, 10, 140, 200]));
        Assert.Equal(
            [0, 0, 10, 0, 0, 10, 140, 10, 0, 10, 140, 74, 0, 10, 140, 138, 0, 140, 200, 140], CudaSegments.TileList(problem, 0));
        // Those with a query from position 80 on.
        Assert.Equal([0, 10, 140, 74, 0, 10, 140, 138, 0, 140, 200, 140], CudaSegments.TileList(problem, 80));
    }

    private static GatedWindowProblem Problem(int batch, int positions, SequenceLayout layout) =>
        GatedWindowProblem.Check(new GatedWindowShape(batch, positions, positions, 1, 1, 8), new AttentionOptions { Layout = layout });
}
