using GatedFwa.Tensors.Memory;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests;

public sealed class TensorTests : TensorTest
{
    [Fact]
    public void Holds_what_it_was_made_from()
    {
        using Tensor floats = Tensor.From([1f, 2f, 3f, 4f], [2, 2]), integers = Tensor.From([7, -1], [2]), zeros = Tensor.Zeros([3]);
        Assert.Equal([1f, 2f, 3f, 4f], floats.ToArray());
        Assert.Equal([7, -1], integers.AsIntegerSpan().ToArray());
        Assert.Equal([0f, 0f, 0f], zeros.ToArray());
        Assert.Equal((DType.F32, DType.I32, 4L, Device.Cpu), (floats.Type, integers.Type, floats.Count, floats.Device));
    }

    [Fact]
    public void An_empty_tensor_is_a_tensor()
    {
        using Tensor empty = Tensor.Zeros([0, 5]);
        Assert.Empty(empty.ToArray());
        Assert.True(empty.AsSpan().IsEmpty);
    }

    [Fact]
    public void Elements_that_were_not_set_are_NaN_in_tests()
    {
        using Tensor tensor = Tensor.Empty([2]);
        Assert.All(tensor.ToArray(), value => Assert.True(float.IsNaN(value)));
    }

    [Fact]
    public void A_view_shares_memory_and_keeps_it_alive()
    {
        Tensor tensor = Tensor.From([1f, 2f, 3f, 4f], [2, 2]);
        using Tensor view = tensor.View([4]);
        view.AsSpan()[3] = 9;
        Assert.Equal(9, tensor.ToArray()[3]);
        tensor.Dispose();
        Assert.Equal([1f, 2f, 3f, 9f], view.ToArray());
    }

    [Fact]
    public void A_view_and_its_basis_need_a_gradient_together()
    {
        using Tensor tensor = Tensor.Zeros([4]), view = tensor.View([2, 2]), second = view.View([4, 1]);
        tensor.RequiresGradient = true;
        Assert.True(view.RequiresGradient && second.RequiresGradient);
        second.RequiresGradient = false;
        Assert.False(tensor.RequiresGradient || view.RequiresGradient);
    }

    [Fact]
    public void A_copy_has_memory_of_its_own_and_an_alias_has_not()
    {
        using Tensor tensor = Tensor.From([1f, 2f], [2]), copy = tensor.Copy();
        copy.AsSpan()[0] = 5;
        tensor.Alias([2, 1]).AsSpan()[1] = 6;
        Assert.Equal([1f, 6f], tensor.ToArray());
        Assert.Equal([5f, 2f], copy.ToArray());
    }

    [Fact]
    public void A_window_is_within_its_tensor()
    {
        using Tensor tensor = Tensor.From([1f, 2, 3, 4], [2, 2]);
        Assert.Equal([2, 3], tensor.Window(1, [2]).ToArray());
        Assert.Equal([1, 2, 3, 4], tensor.Window(0, [4]).ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => tensor.Window(-1, [2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => tensor.Window(3, [2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => tensor.Window(0, [5]));
        Assert.Throws<ArgumentOutOfRangeException>(() => tensor.Window(long.MaxValue, [1]));
    }

    [Fact]
    public void Disposing_twice_gives_memory_back_once()
    {
        long before = DeviceMemory.Statistics(Device.Cpu).LiveBlocks;
        Tensor tensor = Tensor.Zeros([2]);
        Assert.Equal(before + 1, DeviceMemory.Statistics(Device.Cpu).LiveBlocks);
        tensor.Dispose();
        tensor.Dispose();
        Assert.Equal(before, DeviceMemory.Statistics(Device.Cpu).LiveBlocks);
    }

    [Fact]
    public void A_tensor_that_was_disposed_says_so()
    {
        Tensor tensor = Tensor.Zeros([2, 3]);
        tensor.Dispose();
        Assert.Contains(
            "A tensor [2, 3] was used after its tape was closed.",
            Assert.Throws<ObjectDisposedException>(() => tensor.ToArray()).Message);
        Assert.Equal("F32 [2, 3], disposed", tensor.ToString());
    }

    [Fact]
    public void Refuses_values_that_do_not_fit()
    {
        using Tensor floats = Tensor.Zeros([2]), integers = Tensor.Zeros([2], DType.I32);
        Assert.Equal(
            "CopyFrom expects 2 values of F32, but got 3 of F32.",
            Assert.Throws<OperandException>(() => floats.CopyFrom([1f, 2f, 3f])).Message);
        Assert.Equal(
            "CopyFrom expects 2 values of I32, but got 2 of F32.",
            Assert.Throws<OperandException>(() => integers.CopyFrom([1f, 2f])).Message);
        Assert.Equal(
            "CopyFrom expects 2 values of F32 on cpu, but got 2 of I32 on cpu.",
            Assert.Throws<OperandException>(() => floats.CopyFrom(integers)).Message);
        Assert.Equal(
            "View expects a shape of 2 elements, as [2] has, but got [3].",
            Assert.Throws<OperandException>(() => floats.View([3])).Message);
        Assert.Equal(
            "From expects 4 values for the shape [2, 2], but got 3.",
            Assert.Throws<OperandException>(() => Tensor.From([1f, 2f, 3f], [2, 2])).Message);
        Assert.Throws<OperandException>(() => Tensor.From([1, 2, 3], [2]));
        Assert.Throws<OperandException>(() => integers.AsSpan());
        Assert.Throws<OperandException>(() => floats.AsIntegerSpan());
        Assert.Throws<OperandException>(() => integers.ToArray());
    }

    [Fact]
    public void More_bytes_than_a_number_can_name_are_refused() =>
        Assert.Throws<OverflowException>(() => Tensor.Empty([1 << 30, 1 << 30, 4]));

    [Fact]
    public void Only_a_single_element_is_an_item()
    {
        using Tensor one = Tensor.From([4f], []), two = Tensor.Zeros([2]);
        Assert.Equal(4, one.Item());
        Assert.Equal("Item expects a tensor of one element, but got [2].", Assert.Throws<OperandException>(() => two.Item()).Message);
    }

    [Fact]
    public void A_parameter_owns_its_value_and_gradient()
    {
        var parameter = new Parameter("weight", Tensor.From([1f, 2f], [2]), decays: false);
        Tensor value = parameter;
        Assert.Same(parameter.Value, value);
        Assert.True(value.RequiresGradient);
        Assert.Equal([0f, 0f], parameter.Gradient.ToArray());
        parameter.Gradient.CopyFrom([3f, 4f]);
        parameter.ClearGradient();
        Assert.Equal([0f, 0f], parameter.Gradient.ToArray());
        Assert.Equal("weight: F32 [2]", parameter.ToString());
        Assert.False(parameter.Decays);
        parameter.Dispose(); // the base class sees whether both are gone
    }
}
