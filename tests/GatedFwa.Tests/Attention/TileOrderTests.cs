using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

/// <summary>Which tile of attention on Hopper comes when: in texts of a size that no other test has.</summary>
public sealed class TileOrderCudaTests() : TensorTest(TestBackend.CudaFloat32)
{
    private const int Batch = 2, Heads = 3, Threads = 64;

    private static readonly KernelSource Source = new(typeof(TileOrderCudaTests), "tile_places.cu");

    [Theory]
    [InlineData(7, 2, 7)] // One strip.
    [InlineData(7, 2, 5)]
    [InlineData(23, 3, 4)]
    [InlineData(23, 4, 8)] // The last strip is shorter.
    [InlineData(5, 0, 1)]
    [InlineData(5, 0, 2)]
    [InlineData(4, 4, 2)] // Light ones only.
    public void Every_tile_comes_once_strip_by_strip_and_light_ones_last(int tilesPerSequence, int light, int strip)
    {
        const int sequences = Batch * Heads;
        int tiles = sequences * tilesPerSequence, whole = tilesPerSequence - light;
        var expected = new List<int>();
        for (int batch = 0; batch < Batch; batch++)
        {
            for (int first = 0; first < whole; first += strip)
            {
                for (int head = 0; head < Heads; head++)
                {
                    for (int i = first; i < Math.Min(first + strip, whole); i++) expected.AddRange([batch, head, tilesPerSequence - 1 - i]);
                }
            }
        }

        for (int i = light - 1; i >= 0; i--)
        {
            for (int sequence = 0; sequence < sequences; sequence++) expected.AddRange([sequence / Heads, sequence % Heads, i]);
        }

        using Tensor places = Tensor.Empty([tiles, 3], DType.I32, Backend.Device);
        places.Cuda.Kernel(Source, "tile_places").Launch(new LaunchShape(1, Threads), places, Heads, tilesPerSequence, light, strip, tiles);
        Assert.Equal(expected, places.ToIntegers());
    }
}
