using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention.NativeSparse;

public sealed class BlockTableTests : TensorTest
{
    [Fact]
    public void Complete_blocks_of_a_row_lie_one_after_the_other()
    {
        BlockTable table = BlockTable.Of([new(0, 0, 9), new(0, 9, 11), new(0, 11, 23), new(1, 3, 12)], 4);
        Assert.Equal([0, 2, 2, 0], table.Segments.Select(blocks => blocks.FirstPooled));
        Assert.Equal([2, 0, 3, 2], table.Segments.Select(blocks => blocks.Complete));
        Assert.Equal([3, 1, 3, 3], table.Segments.Select(blocks => blocks.Count));
        Assert.Equal((5, 3), (table.PooledRows, table.MostBlocks));
    }

    [Fact]
    public void A_block_counts_as_complete_with_its_last_token()
    {
        var blocks = new SegmentBlocks(new Segment(0, 0, 10), 4, 0);
        Assert.Equal([0, 0, 0, 1, 1, 1, 1, 2, 2, 2], Enumerable.Range(0, 10).Select(blocks.CompleteAt));
        Assert.Equal([0, 0, 0, 0, 1, 1, 1, 1, 2, 2], Enumerable.Range(0, 10).Select(blocks.Own));
        Assert.Equal((8, 10), blocks.Tokens(2));
    }

    [Fact]
    public void Queries_are_listed_by_the_blocks_they_chose()
    {
        var options = new NativeSparseOptions { BlockSize = 2, BlockCount = 2, Layout = SequenceLayout.Packed([0, 3, 7]) };
        NativeSparseProblem problem = NativeSparseProblem.Check(new GatedWindowShape(1, 5, 7, 1, 1, 8), options);
        // The first document's last token is a query, and all four of the second.
        using Tensor indices = Tensor.From([0, 1, 0, -1, 0, -1, 0, 1, 0, 1], problem.IndicesShape);
        using var queries = new SelectedQueries(problem, indices);
        Assert.Equal([2], queries.Of(0, 0, 0));
        Assert.Equal([2], queries.Of(0, 0, 1));
        Assert.Equal([0, 1, 2, 3], queries.Of(1, 0, 0));
        Assert.Equal([2, 3], queries.Of(1, 0, 1));
    }
}
