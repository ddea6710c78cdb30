using GatedFwa.Checkpoints;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Checkpoints;

public sealed class Crc32CTests
{
    [Theory]
    [InlineData("", "00000000")]
    [InlineData("123456789", "e3069283")] // The check value of the CRC catalogue.
    public void It_is_the_checksum_of_Castagnoli(string text, string expected)
    {
        using var checksum = new Crc32C();
        checksum.Write(System.Text.Encoding.ASCII.GetBytes(text));
        Assert.Equal(expected, checksum.Text);
    }

    [Fact]
    public void Pieces_give_what_the_whole_gives()
    {
        byte[] bytes = [.. Samples.Uniform(1000, 3, 0, 255).Select(value => (byte)value)];
        using var whole = new Crc32C();
        using var pieces = new Crc32C();
        whole.Write(bytes);
        for (int start = 0, length = 0; start < bytes.Length; start += length, length = (length + 1) % 20)
            pieces.Write(bytes.AsSpan(start, Math.Min(length, bytes.Length - start)));
        Assert.Equal(whole.Text, pieces.Text);
    }
}
