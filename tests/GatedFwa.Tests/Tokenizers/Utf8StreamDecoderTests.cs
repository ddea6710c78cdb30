using System.Text;
using GatedFwa.Tensors;
using GatedFwa.Tokenizers;

namespace GatedFwa.Tests.Tokenizers;

public sealed class Utf8StreamDecoderTests
{
    [Fact]
    public void A_character_appears_with_its_last_byte()
    {
        var decoder = new Utf8StreamDecoder();
        string[] pieces = [.. Encoding.UTF8.GetBytes("aé水🦉").Select(value => decoder.Push(value))];
        Assert.Equal(["a", "", "é", "", "", "水", "", "", "", "🦉"], pieces);
        Assert.Equal("", decoder.Finish());
    }

    [Fact]
    public void A_broken_sequence_is_replaced_as_soon_as_it_cannot_become_a_character()
    {
        var decoder = new Utf8StreamDecoder();
        Assert.Equal("", decoder.Push(0xE6));
        Assert.Equal("\uFFFDa", decoder.Push('a'));
        Assert.Equal("\uFFFD", decoder.Push(0xFF));
        Assert.Equal("", decoder.Push(0xF0));
        Assert.Equal("\uFFFD", decoder.Finish());
        Assert.Equal("b", decoder.Push('b'));
    }

    [Fact]
    public void Random_bytes_one_at_a_time_give_what_they_give_together()
    {
        var random = new CounterRandom(7);
        for (int round = 0; round < 300; round++)
        {
            // High bytes are frequent, so that sequences begin and break often.
            byte[] bytes = [.. Enumerable.Range(0, 40).Select(i => (byte)((int)random.Below((100L * round) + i, 256) | (i % 3 == 0 ? 0 : 0x80)))];
            var decoder = new Utf8StreamDecoder();
            string streamed = string.Concat(bytes.Select(value => decoder.Push(value))) + decoder.Finish();
            Assert.Equal(Encoding.UTF8.GetString(bytes), streamed);
        }
    }
}
