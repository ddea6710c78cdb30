namespace GatedFwa.Tensors.Tests;

public sealed class ShapeTests
{
    [Fact]
    public void Knows_its_rank_count_rows_and_extents()
    {
        Shape shape = [2, 3, 5];
        Assert.Equal((3, 30L, 6, 5, 2), (shape.Rank, shape.Count, shape.Rows, shape[^1], shape[0]));
        Assert.Equal("[2, 3, 5]", shape.ToString());
        Assert.Equal([2, 3, 5], shape.ToArray());
    }

    [Fact]
    public void A_scalar_has_one_element_and_one_row()
    {
        Assert.Equal((0, 1L, 1), (default(Shape).Rank, default(Shape).Count, default(Shape).Rows));
        Shape empty = [];
        Assert.Equal(default, empty);
    }

    [Fact]
    public void An_empty_axis_leaves_no_elements_and_no_rows()
    {
        Shape shape = [4, 0];
        Assert.Equal((0L, 0), (shape.Count, shape.Rows));
    }

    [Fact]
    public void Shapes_are_equal_when_their_extents_are()
    {
        Shape a = [2, 3], b = [2, 3], c = [3, 2], d = [2, 3, 1];
        Assert.True(a == b && a != c && a != d && a.Equals((object)b) && !a.Equals("[2, 3]"));
        Assert.Equal(a.GetHashCode(), b.GetHashCode());
    }

    [Fact]
    public void Refuses_a_negative_extent() => Assert.Throws<ArgumentOutOfRangeException>(() => Shape.Create([2, -1]));

    [Fact]
    public void More_elements_than_a_long_can_count_are_an_error_not_a_small_number() =>
        Assert.Throws<OverflowException>(() => Shape.Create([int.MaxValue, int.MaxValue, 3]).Count);
}
