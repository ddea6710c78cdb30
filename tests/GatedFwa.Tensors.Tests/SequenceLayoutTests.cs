namespace GatedFwa.Tensors.Tests;

public sealed class SequenceLayoutTests
{
    [Fact]
    public void Dense_rows_are_one_segment_each()
    {
        Assert.Equal([new(0, 0, 5), new(1, 0, 5)], SequenceLayout.Dense.Segments("op", 2, 5));
        Assert.Empty(SequenceLayout.Dense.Segments("op", 2, 0));
        Assert.True(SequenceLayout.Dense.IsDense && SequenceLayout.Dense.CoversEverything);
    }

    [Fact]
    public void Packed_documents_follow_one_another_and_empty_ones_vanish()
    {
        SequenceLayout layout = SequenceLayout.Packed([0, 3, 3, 4, 9]);
        Assert.Equal([new(0, 0, 3), new(0, 3, 4), new(0, 4, 9)], layout.Segments("op", 1, 9));
        Assert.True(!layout.IsDense && layout.CoversEverything);
    }

    [Fact]
    public void Padded_rows_start_late_and_may_hold_nothing()
    {
        SequenceLayout layout = SequenceLayout.LeftPadded([2, 0, 5]);
        Segment[] segments = layout.Segments("op", 3, 5);
        Assert.Equal([new(0, 2, 5), new(1, 0, 5)], segments);
        Assert.Equal(3, segments[0].Length);
        Assert.False(layout.IsDense || layout.CoversEverything);
        Assert.True(SequenceLayout.LeftPadded([0, 0]).CoversEverything);
    }

    [Fact]
    public void Refuses_offsets_that_make_no_sense()
    {
        Assert.Equal(
            "SequenceLayout expects cu_seqlens that never decrease, but got 2 after 3.",
            Assert.Throws<OperandException>(() => SequenceLayout.Packed([0, 3, 2])).Message);
        Assert.Throws<OperandException>(() => SequenceLayout.Packed([1, 3]));
        Assert.Throws<OperandException>(() => SequenceLayout.Packed([0]));
        Assert.Throws<OperandException>(() => SequenceLayout.Packed([]));
        Assert.Throws<OperandException>(() => SequenceLayout.LeftPadded([0, -1]));
    }

    [Fact]
    public void Refuses_a_grid_it_does_not_fit()
    {
        Assert.Equal(
            "op expects cu_seqlens that end at 10 positions, but got 9.",
            Assert.Throws<OperandException>(() => SequenceLayout.Packed([0, 9]).Segments("op", 1, 10)).Message);
        Assert.Equal(
            "op expects a batch of 1 where documents are packed, but got a batch of 2.",
            Assert.Throws<OperandException>(() => SequenceLayout.Packed([0, 9]).Segments("op", 2, 9)).Message);
        Assert.Throws<OperandException>(() => SequenceLayout.LeftPadded([0]).Segments("op", 2, 4));
        Assert.Equal(
            "op expects starts of at most 4, but got 5.",
            Assert.Throws<OperandException>(() => SequenceLayout.LeftPadded([0, 5]).Segments("op", 2, 4)).Message);
    }
}
