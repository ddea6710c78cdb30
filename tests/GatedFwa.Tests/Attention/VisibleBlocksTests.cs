using GatedFwa.Attention;

namespace GatedFwa.Tests.Attention;

/// <summary>Block ranges against the definition i − W + 1 ≤ j ≤ i, pair by pair.</summary>
public sealed class VisibleBlocksTests
{
    private const int Positions = 200, TileSize = 64;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(63)]
    [InlineData(64)]
    [InlineData(65)]
    [InlineData(129)]
    [InlineData(200)]
    public void Are_exactly_what_the_window_lets_see(int window)
    {
        var visible = new VisibleBlocks(window);
        bool Sees(int i, int j) => i - window + 1 <= j && j <= i;
        int[] all = [.. Enumerable.Range(0, Positions)];
        foreach (int row in all)
        {
            Assert.Equal(all.First(j => Sees(row, j)) / TileSize, visible.FirstKeyTile(row));
            foreach (int rows in new[] { 1, 4, 6 })
            {
                for (int tile = 0; tile <= row / TileSize; tile++)
                {
                    int[] keys = [.. Enumerable.Range(0, TileSize).Where(j => Enumerable.Range(row, rows).Any(i => Sees(i, (tile * TileSize) + j)))];
                    (int first, int end) = visible.Keys(row, rows, tile);
                    Assert.Equal(keys, first < end ? Enumerable.Range(first, end - first) : []);

                    int[] seeing = [.. Enumerable.Range(0, TileSize).Where(i => Enumerable.Range(row, rows).Any(j => Sees((tile * TileSize) + i, j)))];
                    (first, end) = visible.Rows(row, rows, tile);
                    Assert.Equal(seeing, first < end ? Enumerable.Range(first, end - first) : []);

                    bool isWhole = Enumerable.Range(row, rows).All(i => Enumerable.Range(tile * TileSize, TileSize).All(j => Sees(i, j)));
                    Assert.Equal(isWhole, visible.IsWhole(row, rows, tile));
                }
            }
        }

        for (int tile = 0; tile < Positions / TileSize; tile++)
        {
            int last = Enumerable.Range(0, 1000).Last(i => Enumerable.Range(tile * TileSize, TileSize).Any(j => Sees(i, j)));
            Assert.Equal(last / TileSize, visible.LastRowTile(tile));
        }
    }
}
